"""What differs between two versions: by name, by value of the tensors, and in the files beside them.

`compare_versions` gathers all; `render_page` and `comparison_json` tell it. `diff_manifests` reads no object and takes
milliseconds; `diff_tensors` reads both sides of each changed tensor once.
"""

from birdbone.vault.diff.comparison import Comparison, MeasurementPair, Side, compare_versions, comparison_json
from birdbone.vault.diff.files import FileDiff, TextChange, diff_files
from birdbone.vault.diff.groups import (
    ChangeTotals,
    LayerDiff,
    LayerGrid,
    RoleDiff,
    group_by_layer,
    group_by_role,
    layer_grids,
)
from birdbone.vault.diff.json_values import ValueChange, diff_values
from birdbone.vault.diff.names import ManifestDiff, NameDiff, diff_manifests
from birdbone.vault.diff.page import render_page
from birdbone.vault.diff.roles import ROLES, Place, Role, layer_of, place_of, role_of
from birdbone.vault.diff.tensors import TensorDiff, diff_tensors, rounded
from birdbone.vault.diff.tokens import TokenMove, VocabularyDiff, diff_tokenizers

__all__ = [
    "ROLES",
    "ChangeTotals",
    "Comparison",
    "FileDiff",
    "LayerDiff",
    "LayerGrid",
    "ManifestDiff",
    "MeasurementPair",
    "NameDiff",
    "Place",
    "Role",
    "RoleDiff",
    "Side",
    "TensorDiff",
    "TextChange",
    "TokenMove",
    "ValueChange",
    "VocabularyDiff",
    "compare_versions",
    "comparison_json",
    "diff_files",
    "diff_manifests",
    "diff_tensors",
    "diff_tokenizers",
    "diff_values",
    "group_by_layer",
    "group_by_role",
    "layer_grids",
    "layer_of",
    "place_of",
    "render_page",
    "role_of",
    "rounded",
]
