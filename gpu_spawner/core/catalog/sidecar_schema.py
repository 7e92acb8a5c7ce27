"""The shape of a sidecar as an operator writes it: a container beside the notebook server."""

import re
from typing import Annotated, Any, Final

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from gpu_spawner.core.catalog.device_fields import SubdomainName
from gpu_spawner.core.catalog.fields import (
    Bytes,
    Count,
    CpuMilli,
    ImageReference,
    LongText,
    Shares,
    Text,
    complain,
    matching,
)
from gpu_spawner.core.catalog.strict_model import StrictModel

__all__ = ["CpuModel", "MemoryModel", "ReadinessModel", "SidecarGpuModel", "SidecarModel"]

_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_SECRET_NAME: Final = re.compile(
    r"(.*_)?(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)", re.IGNORECASE
)
_MAX_VALUE: Final = 4096

ContainerName = Annotated[
    str,
    PlainValidator(
        matching(
            r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?",
            "a name of at most 40 small letters, digits and dashes",
            max_length=40,
        )
    ),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"}),
]
Port = Annotated[int, Field(ge=1, le=65535)]
VariableName = Annotated[
    str,
    PlainValidator(matching(_VARIABLE, "the name of an environment variable", max_length=128)),
    WithJsonSchema({"type": "string"}),
]
SecretKeyName = Annotated[
    str,
    PlainValidator(matching(r"[-._a-zA-Z0-9]+", "a key of a secret", max_length=253)),
    WithJsonSchema({"type": "string"}),
]


def _value(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_VALUE or "\0" in value:
        hint = "Put it in quotes." if isinstance(value, (int, float)) else ""
        raise complain(f"a text of at most {_MAX_VALUE} characters is expected", hint)
    return value


VariableValue = Annotated[
    str, PlainValidator(_value), WithJsonSchema({"type": "string", "maxLength": _MAX_VALUE})
]


class CpuModel(StrictModel):
    """CPUs: what is kept for the server, and what it may use at most."""

    request: CpuMilli | None = None
    limit: CpuMilli | None = None


class MemoryModel(StrictModel):
    """Memory: what is kept for the server, and what it may use at most."""

    request: Bytes | None = None
    limit: Bytes | None = None


class SecretKeyModel(StrictModel):
    """Where Kubernetes finds a value: a secret of the servers' namespace, and a key of it."""

    secret: SubdomainName
    key: SecretKeyName


class SidecarResourcesModel(StrictModel):
    """What a sidecar gets beside its GPUs."""

    cpu: CpuModel = CpuModel()
    memory: MemoryModel = MemoryModel()


class _OrTheWordShared:
    """Let ``shared`` stand for ``{shared: true}``, also in the JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(
            lambda value: {"shared": True} if value == "shared" else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": "shared"}, handler(core_schema)]}


class SidecarGpuModel(StrictModel):
    """What a sidecar has of the GPUs: the notebook's, or some of its own of the same flavor."""

    shared: bool = Field(
        default=False,
        description="Use the notebook's own GPUs, which takes a claim; gpu: shared is the same.",
    )
    share: Shares | None = Field(
        default=None, description="One share; the one the user chose if absent."
    )
    count: Count = Field(default=1, description="How many of them.")

    @model_validator(mode="after")
    def _one_share(self) -> "SidecarGpuModel":
        if self.shared and (self.share is not None or self.count != 1):
            raise complain("what is shared has no share and count of its own", "Remove them.")
        if self.share is not None and len(self.share) != 1:
            raise complain("a sidecar gets one kind of share", "Name one.")
        return self


class ReadinessModel(StrictModel):
    """How Kubernetes asks whether the sidecar is ready."""

    path: LongText = Field(
        default="",
        pattern=r"^(/.*)?$",
        description="Asked by HTTP; without it, a connection will do.",
    )
    port: Port | None = Field(default=None, description="The sidecar's port if absent.")
    period_seconds: int = Field(default=10, ge=1, le=300)
    patience_seconds: int = Field(
        default=600,
        ge=1,
        le=86400,
        description="How long it may take to become ready, such as for loading a model.",
    )


class SidecarModel(StrictModel):
    """A container that runs beside the notebook server, which reaches it at localhost."""

    name: ContainerName = Field(description="Of the container; 'notebook' is taken.")
    image: ImageReference = Field(description="A key of images.yaml, or an image reference.")
    env: dict[VariableName, VariableValue] = Field(
        default_factory=dict, description="Plain values; anybody who may see pods reads them."
    )
    env_from_secret: dict[VariableName, SecretKeyModel] = Field(
        default_factory=dict,
        description="Secret values: NGC_API_KEY: {secret: ngc, key: api-key}. The secret must be "
        "in the namespace of the servers.",
    )
    port: Port | None = Field(
        default=None, description="What it listens on; 8888 is the notebook server's."
    )
    command: list[Text] = Field(default_factory=list, description="Instead of the image's own.")
    args: list[Annotated[str, Field(max_length=_MAX_VALUE)]] = Field(
        default_factory=list, description="Arguments, each as it is: nothing is filled in."
    )
    resources: SidecarResourcesModel = SidecarResourcesModel()
    gpu: Annotated[SidecarGpuModel | None, _OrTheWordShared()] = Field(
        default=None,
        description="shared: the notebook's own GPUs; {count: 1}: one besides; none if absent.",
    )
    readiness: ReadinessModel | None = Field(
        default=None, description="The server counts as started when its sidecars are ready."
    )

    @model_validator(mode="after")
    def _secrets_are_referred_to(self) -> "SidecarModel":
        for name in self.env:
            if name in self.env_from_secret:
                raise complain(f"{name} is in env and in env_from_secret", "Remove one.")
            if _SECRET_NAME.fullmatch(name) and self.env[name]:
                raise complain(
                    f"env.{name} looks like a secret, which anybody who may see pods would read",
                    "Put it in a Secret and name that in env_from_secret.",
                )
        return self

    @model_validator(mode="after")
    def _probe_has_a_port(self) -> "SidecarModel":
        if self.readiness is not None and self.readiness.port is None and self.port is None:
            raise complain("readiness has no port to ask at", "Add port.")
        return self
