"""Interplay with other tools: what they keep comes in checked, and what the vault keeps goes out in their formats.

Owns: reading a Hugging Face cache, DVC, Git LFS and OCI image layouts from this machine; writing folders for
`transformers` and OCI image layouts. No network, and none of these tools needs to be installed.
Needs: the vault's artefacts, lookup, names and errors.
"""

from birdbone.vault.interop.export_record import ExportedFile, ExportRecord
from birdbone.vault.interop.importing import Imported, import_oci, import_source, verify_oci_layout
from birdbone.vault.interop.oci_export import OciExport, export_oci
from birdbone.vault.interop.oci_layout import OciLayout
from birdbone.vault.interop.source import ImportedFile, Provenance
from birdbone.vault.interop.transformers_folder import export_folder

__all__ = [
    "ExportRecord",
    "ExportedFile",
    "Imported",
    "ImportedFile",
    "OciExport",
    "OciLayout",
    "Provenance",
    "export_folder",
    "export_oci",
    "import_oci",
    "import_source",
    "verify_oci_layout",
]
