"""``gpu-spawner rbac``: the rights the hub needs for the chosen features, for ``kubectl apply``."""

import argparse

from gpu_spawner.cli.arguments import RELEASE, Commands, namespace, object_name

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    from gpu_spawner.kube.rights import BESIDE_THE_CHART, FEATURES

    features = "\n".join(f"  {one.name:<14}{one.purpose}" for one in FEATURES.values())
    rbac = commands.add_parser(
        "rbac",
        help="the rights the hub needs, as manifests",
        description=(
            "Print the roles and bindings that give a hub exactly what the chosen features need.\n"
            "Pipe them into kubectl apply -f -.\n\nfeatures:\n"
            f"{features}\n\nWithout any: {', '.join(BESIDE_THE_CHART)}."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rbac.add_argument("features", nargs="*", metavar="FEATURE", type=_feature, help="see above")
    rbac.add_argument(
        "--namespace",
        type=namespace,
        required=True,
        metavar="NS",
        help="of the hub and its servers",
    )
    rbac.add_argument(
        "--service-account",
        type=object_name,
        default="hub",
        metavar="SA",
        help="the hub's (default: hub, as the zero-to-jupyterhub chart names it)",
    )
    rbac.add_argument(
        "--release",
        type=object_name,
        default=RELEASE,
        metavar="NAME",
        help=f"tells several hubs of one namespace apart in what is printed (default: {RELEASE})",
    )
    rbac.set_defaults(run=_run)


def _feature(text: str) -> str:
    from gpu_spawner.kube.rights import FEATURES

    if text not in FEATURES:
        raise argparse.ArgumentTypeError(f"{text!r} is no feature: there are {', '.join(FEATURES)}")
    return text


def _run(arguments: argparse.Namespace) -> int:
    import yaml

    from gpu_spawner.kube.rights import BESIDE_THE_CHART, FEATURES, manifests

    chosen = tuple(dict.fromkeys(arguments.features)) or BESIDE_THE_CHART
    for name in chosen:
        print(f"# {name}: {FEATURES[name].purpose}")
    objects = manifests(
        chosen,
        namespace=arguments.namespace,
        service_account=arguments.service_account,
        release=arguments.release,
    )
    print(yaml.safe_dump_all(objects, sort_keys=False), end="")
    return 0
