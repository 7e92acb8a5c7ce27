"""What OpenAPI does not say about fields and an API server's answers show.

Kubernetes' types are Go structs. Whether a field that is false, zero or empty is written depends
on how it is declared, and a client sees the difference: a pod sent with ``hostNetwork: false``
comes back without it, one sent with ``enableServiceLinks: false`` comes back with it.

One line a type: its name, then the fields.
"""

# Unset and zero are different things here, so a zero that was sent is kept.
KEPT = """
apps.v1.DaemonSetSpec revisionHistoryLimit
apps.v1.DaemonSetStatus collisionCount
apps.v1.DeploymentSpec replicas revisionHistoryLimit progressDeadlineSeconds
apps.v1.DeploymentStatus terminatingReplicas collisionCount
apps.v1.ReplicaSetSpec replicas
apps.v1.ReplicaSetStatus terminatingReplicas
apps.v1.RollingUpdateStatefulSetStrategy partition
apps.v1.StatefulSetSpec replicas revisionHistoryLimit
apps.v1.StatefulSetStatus collisionCount
authentication.v1.TokenRequestSpec expirationSeconds
batch.v1.CronJobSpec timeZone startingDeadlineSeconds suspend successfulJobsHistoryLimit
batch.v1.CronJobSpec failedJobsHistoryLimit
batch.v1.JobSpec parallelism completions activeDeadlineSeconds backoffLimit backoffLimitPerIndex
batch.v1.JobSpec maxFailedIndexes manualSelector ttlSecondsAfterFinished completionMode suspend
batch.v1.JobSpec podReplacementPolicy managedBy
batch.v1.JobStatus terminating failedIndexes ready
batch.v1.PodFailurePolicyOnExitCodesRequirement containerName
batch.v1.SuccessPolicyRule succeededIndexes succeededCount
coordination.v1.LeaseSpec holderIdentity leaseDurationSeconds leaseTransitions strategy
coordination.v1.LeaseSpec preferredHolder
core.v1.AppArmorProfile localhostProfile
core.v1.CSIVolumeSource readOnly fsType
core.v1.ClientIPConfig timeoutSeconds
core.v1.ClusterTrustBundleProjection name signerName optional
core.v1.ConfigMap immutable
core.v1.ConfigMapEnvSource optional
core.v1.ConfigMapKeySelector optional
core.v1.ConfigMapProjection optional
core.v1.ConfigMapVolumeSource defaultMode optional
core.v1.Container restartPolicy
core.v1.EphemeralContainer restartPolicy
core.v1.ContainerStatus started stopSignal
core.v1.DownwardAPIVolumeFile mode
core.v1.DownwardAPIVolumeSource defaultMode
core.v1.EndpointAddress nodeName
core.v1.EndpointPort appProtocol
core.v1.FileKeySelector optional
core.v1.GRPCAction service
core.v1.HostPathVolumeSource type
core.v1.KeyToPath mode
core.v1.Lifecycle stopSignal
core.v1.LoadBalancerIngress ipMode
core.v1.LocalVolumeSource fsType
core.v1.NodeFeatures supplementalGroupsPolicy
core.v1.NodeRuntimeHandlerFeatures recursiveReadOnlyMounts userNamespaces
core.v1.NodeSwapStatus capacity
core.v1.PersistentVolumeClaimSpec storageClassName volumeMode volumeAttributesClassName
core.v1.PersistentVolumeClaimStatus currentVolumeAttributesClassName
core.v1.PersistentVolumeSpec volumeMode volumeAttributesClassName
core.v1.PodCertificateProjection maxExpirationSeconds
core.v1.PodDNSConfigOption value
core.v1.PodResourceClaim resourceClaimName resourceClaimTemplateName
core.v1.PodResourceClaimStatus resourceClaimName
core.v1.PodSchedulingGroup podGroupName
core.v1.PodSecurityContext runAsUser runAsGroup runAsNonRoot supplementalGroupsPolicy fsGroup
core.v1.PodSecurityContext fsGroupChangePolicy seLinuxChangePolicy
core.v1.PodSpec terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken
core.v1.PodSpec shareProcessNamespace priority runtimeClassName enableServiceLinks
core.v1.PodSpec preemptionPolicy setHostnameAsFQDN hostUsers hostnameOverride
core.v1.PortStatus error
core.v1.Probe terminationGracePeriodSeconds
core.v1.ProjectedVolumeSource defaultMode
core.v1.ReplicationControllerSpec replicas
core.v1.ResourceHealth message
core.v1.SeccompProfile localhostProfile
core.v1.Secret immutable
core.v1.SecretEnvSource optional
core.v1.SecretKeySelector optional
core.v1.SecretProjection optional
core.v1.SecretVolumeSource defaultMode optional
core.v1.SecurityContext privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem
core.v1.SecurityContext allowPrivilegeEscalation procMount
core.v1.ServiceAccount automountServiceAccountToken
core.v1.ServiceAccountTokenProjection expirationSeconds
core.v1.ServicePort appProtocol
core.v1.ServiceSpec ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass
core.v1.ServiceSpec internalTrafficPolicy trafficDistribution
core.v1.Toleration tolerationSeconds
core.v1.TopologySpreadConstraint minDomains nodeAffinityPolicy nodeTaintsPolicy
core.v1.TypedLocalObjectReference apiGroup
core.v1.TypedObjectReference apiGroup namespace
core.v1.VolumeMount recursiveReadOnly mountPropagation
core.v1.VolumeMountStatus recursiveReadOnly
meta.v1.DeleteOptions gracePeriodSeconds orphanDependents propagationPolicy
meta.v1.DeleteOptions ignoreStoreReadErrorWithClusterBreakingPotential
meta.v1.ObjectMeta deletionGracePeriodSeconds
meta.v1.OwnerReference controller blockOwnerDeletion
meta.v1.Preconditions uid resourceVersion
networking.v1.HTTPIngressPath pathType
networking.v1.IngressClassParametersReference apiGroup scope namespace
networking.v1.IngressPortStatus error
networking.v1.IngressSpec ingressClassName
networking.v1.NetworkPolicyPort protocol endPort
policy.v1.PodDisruptionBudgetSpec unhealthyPodEvictionPolicy
resource.v1.AllocatedDeviceStatus shareID
resource.v1.Device nodeName allNodes bindsToNode allowMultipleAllocations
resource.v1.DeviceAttribute int bool string version
resource.v1.DeviceClassSpec extendedResourceName
resource.v1.DeviceConstraint matchAttribute distinctAttribute
resource.v1.DeviceRequestAllocationResult adminAccess shareID
resource.v1.DeviceToleration tolerationSeconds
resource.v1.ExactDeviceRequest adminAccess
resource.v1.NodeAllocatableResourceMapping capacityKey
resource.v1.ResourceSliceSpec nodeName allNodes perDeviceNodeSelection
storage.v1.CSIDriverSpec attachRequired podInfoOnMount storageCapacity fsGroupPolicy
storage.v1.CSIDriverSpec requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds
storage.v1.CSIDriverSpec serviceAccountTokenInSecrets preventPodSchedulingIfMissing
storage.v1.StorageClass reclaimPolicy allowVolumeExpansion volumeBindingMode
storage.v1.TokenRequest expirationSeconds
storage.v1.VolumeNodeResources count
"""

# Written even when nothing was sent: an empty object, a null time or list, a zero. Required
# scalars and lists, and metadata, spec and status, are always written and not repeated here.
ALWAYS = """
apps.v1.ControllerRevision data
apps.v1.DaemonSetCondition lastTransitionTime
apps.v1.DaemonSetSpec template updateStrategy
apps.v1.DeploymentCondition lastUpdateTime lastTransitionTime
apps.v1.DeploymentSpec template strategy
apps.v1.ReplicaSetCondition lastTransitionTime
apps.v1.ReplicaSetSpec template
apps.v1.StatefulSetCondition lastTransitionTime
apps.v1.StatefulSetOrdinals start
apps.v1.StatefulSetSpec template serviceName updateStrategy
apps.v1.StatefulSetStatus availableReplicas
authentication.v1.SelfSubjectReviewStatus userInfo
authentication.v1.TokenRequestSpec audiences
authentication.v1.TokenRequestStatus token expirationTimestamp
authentication.v1.TokenReviewStatus user
batch.v1.CronJobSpec jobTemplate
batch.v1.JobCondition lastProbeTime lastTransitionTime
batch.v1.JobSpec template
core.v1.Binding target
core.v1.Container resources
core.v1.EphemeralContainer resources
core.v1.ContainerImage names
core.v1.ContainerStateRunning startedAt
core.v1.ContainerStateTerminated startedAt finishedAt
core.v1.ContainerStatus state lastState
core.v1.Event involvedObject source firstTimestamp lastTimestamp eventTime reportingComponent
core.v1.Event reportingInstance
core.v1.EventSeries lastObservedTime
core.v1.HTTPGetAction port
core.v1.NamespaceCondition lastTransitionTime
core.v1.NodeCondition lastHeartbeatTime lastTransitionTime
core.v1.NodeDaemonEndpoints kubeletEndpoint
core.v1.NodeRuntimeHandler name
core.v1.NodeStatus daemonEndpoints nodeInfo
core.v1.PersistentVolumeClaimCondition lastProbeTime lastTransitionTime
core.v1.PersistentVolumeClaimSpec resources
core.v1.PodCondition lastProbeTime lastTransitionTime
core.v1.PodTemplate template
core.v1.PreferredSchedulingTerm preference
core.v1.ProjectedVolumeSource sources
core.v1.ReplicationControllerCondition lastTransitionTime
core.v1.ResourceFieldSelector divisor
core.v1.ServicePort targetPort
core.v1.ServiceStatus loadBalancer
core.v1.TCPSocketAction port
core.v1.WeightedPodAffinityTerm podAffinityTerm
meta.v1.Condition lastTransitionTime
networking.v1.HTTPIngressPath backend
networking.v1.IngressServiceBackend port
networking.v1.IngressStatus loadBalancer
networking.v1.NetworkPolicySpec podSelector
policy.v1.PodDisruptionBudgetStatus disruptionsAllowed currentHealthy desiredHealthy
policy.v1.PodDisruptionBudgetStatus expectedPods
rbac.v1.ClusterRole rules
rbac.v1.ClusterRoleBinding roleRef
rbac.v1.Role rules
rbac.v1.RoleBinding roleRef
rbac.v1.RoleRef apiGroup
resource.v1.AllocatedDeviceStatus conditions
resource.v1.AllocationResult devices
resource.v1.Counter value
resource.v1.DeviceCapacity value
resource.v1.DeviceClaim requests
resource.v1.OpaqueDeviceConfiguration parameters
resource.v1.ResourceClaimSpec devices
resource.v1.ResourceSliceSpec pool
scheduling.v1.PriorityClass value
storage.v1.CSINodeDriver topologyKeys
"""

# Required by OpenAPI, and yet left out when empty.
NOT_ALWAYS = """
authentication.v1.TokenReviewSpec token
core.v1.ContainerRestartRule action
core.v1.ContainerRestartRuleOnExitCodes operator
core.v1.ImageVolumeStatus imageRef
core.v1.PodCertificateProjection keyType signerName
networking.v1.HTTPIngressPath pathType
resource.v1.CounterSet counters
resource.v1.DeviceCounterConsumption counters
"""


def parse_facts(text: str) -> dict[str, set[str]]:
    """Read one of the tables above."""
    fields: dict[str, set[str]] = {}
    for line in text.split("\n"):
        name, *listed = line.split() or [""]
        fields.setdefault(name, set()).update(listed)
    return fields
