"""Turn the models of ``flavor_schema`` into the values of ``flavors``."""

import json
from collections.abc import Iterable

from gpu_spawner.core.catalog.device_selectors import split_attribute
from gpu_spawner.core.catalog.documents import Document
from gpu_spawner.core.catalog.flavor_schema import (
    ClaimModel,
    DraModel,
    FlavorModel,
    HamiModel,
    TolerationModel,
    VolcanoModel,
)
from gpu_spawner.core.catalog.flavors import (
    Autoscaling,
    DeviceConfig,
    DeviceConstraint,
    DraLayout,
    Flavor,
    HamiLayout,
    LabelIn,
    MigLayout,
    NamedClaim,
    QueueLayout,
    Sharing,
    Toleration,
    VolcanoLayout,
)

__all__ = ["flavor_from", "tolerations_from"]

_RESOURCE = "nvidia.com/gpu"


def flavor_from(name: str, model: FlavorModel, document: Document) -> Flavor:
    """Make a flavor."""
    sharing, mig, kai, runai = model.sharing, model.mig, model.kai, model.runai
    autoscale = model.autoscale
    return Flavor(
        name=name,
        display_name=model.display_name,
        description=model.description,
        architecture=model.architecture,
        memory_bytes=model.memory,
        node_labels=tuple(
            LabelIn(key=key, values=tuple(values)) for key, values in model.node_labels.items()
        ),
        resource=model.resource or _RESOURCE,
        has_own_resource=model.resource is not None,
        extra_resources=tuple(model.extra_resources.items()),
        mechanisms=tuple(dict.fromkeys(model.mechanisms)),
        tolerations=tolerations_from(model.tolerations),
        renamed_from=tuple(model.renamed_from),
        autoscaling=Autoscaling(
            gpus_per_node=autoscale.gpus_per_node,
            max_nodes=autoscale.max_nodes,
            start_seconds=autoscale.start_time or None,
        )
        if autoscale
        else None,
        sharing=Sharing(
            strategy=sharing.strategy, replicas=sharing.replicas, is_renamed=sharing.renamed
        )
        if sharing
        else None,
        mig=MigLayout(strategy=mig.strategy, profiles=tuple(mig.profiles)) if mig else None,
        dra=_dra(model.dra) if model.dra else None,
        hami=_hami(model.hami) if model.hami else None,
        volcano=_volcano(model.volcano) if model.volcano else None,
        kai=QueueLayout(
            queue=kai.queue,
            scheduler_name=kai.scheduler_name,
            is_memory_enforced=kai.memory_enforced,
        )
        if kai
        else None,
        runai=QueueLayout(
            queue=runai.project,
            scheduler_name=runai.scheduler_name,
            is_memory_enforced=runai.memory_enforced,
        )
        if runai
        else None,
        origin=document.origin,
        line=document.lines.get((name,), 0),
    )


def _dra(model: DraModel) -> DraLayout:
    return DraLayout(
        driver=model.driver,
        device_class=model.device_class or model.driver,
        mig_device_class=model.mig_device_class or "",
        attributes=tuple((name, tuple(values)) for name, values in model.attributes.items()),
        selectors=tuple(model.selectors),
        min_memory_bytes=model.min_memory,
        memory_capacity=model.memory_capacity or "",
        share_capacity=model.share_capacity or "",
        shares=model.shares,
        tolerations=tolerations_from(model.tolerations),
        constraints=tuple(
            DeviceConstraint(
                attribute="/".join(
                    split_attribute(
                        one.match_attribute or one.distinct_attribute or "", model.driver
                    )
                ),
                is_distinct=one.distinct_attribute is not None,
            )
            for one in model.constraints
        ),
        configs=tuple(
            DeviceConfig(
                driver=one.driver or model.driver,
                parameters=json.dumps(one.parameters, sort_keys=True, default=str),
            )
            for one in model.config
        ),
        is_mig_of_one_gpu=model.slices_of_one_gpu,
        claims=tuple(_claim(name, claim) for name, claim in model.claims.items()),
    )


def _claim(name: str, model: ClaimModel) -> NamedClaim:
    return NamedClaim(
        name=name,
        spec=model.spec.model_dump_json(by_alias=True, exclude_unset=True),
        display_name=model.display_name or "",
        description=model.description,
        memory_bytes=model.memory,
    )


def _hami(model: HamiModel) -> HamiLayout:
    return HamiLayout(
        resource=model.resource,
        memory_resource=model.memory_resource,
        percent_resource=model.percent_resource,
        cores_resource=model.cores_resource,
        scheduler_name=model.scheduler_name,
        gpu_types=tuple(model.gpu_types),
        mode=model.mode or "",
        cores_percent=model.cores_percent,
    )


def _volcano(model: VolcanoModel) -> VolcanoLayout:
    return VolcanoLayout(
        number_resource=model.number_resource,
        memory_resource=model.memory_resource,
        cores_resource=model.cores_resource,
        scheduler_name=model.scheduler_name,
        mode=model.mode or "",
        cores_percent=model.cores_percent,
    )


def tolerations_from(models: Iterable[TolerationModel]) -> tuple[Toleration, ...]:
    """Make tolerations."""
    return tuple(
        Toleration(
            key=model.key or "",
            operator=model.operator,
            value=model.value,
            effect=model.effect or "",
            toleration_seconds=model.toleration_seconds,
        )
        for model in models
    )
