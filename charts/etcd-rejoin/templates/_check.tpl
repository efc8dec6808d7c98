{{/* Values of Bitnami's chart that mean something which this chart does not do: what to do instead. */}}
{{- define "etcd.check" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- range tuple
  (tuple "startFromSnapshot" "enabled" "restore it with `etcdutl snapshot restore` into each claim before the first start, or with `etcd-rejoin snapshot`: docs/backups.md")
  (tuple "defrag" "enabled" "run `kubectl exec NAME-0 -- etcd-rejoin defrag`, by hand or from a CronJob of your own")
  (tuple "volumePermissions" "enabled" "podSecurityContext.fsGroup gives the volume to the group; set podSecurityContext and containerSecurityContext to the owner of the files")
  (tuple "diagnosticMode" "enabled" "`kubectl exec NAME-0 -- etcd-rejoin status` says what it sees")
-}}
{{- if dig (index . 0) (index . 1) false ($v | toJson | fromJson) -}}
{{- $wrong = append $wrong (printf "%s.%s: %s" (index . 0) (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- range tuple
  (tuple "initialClusterState" "leave it out: `existing` would keep the cluster from ever being founded, and intact data starts as it is")
  (tuple "removeMemberOnContainerTermination" "leave it out: a stop is not a leave here, and a pod leaves only where the set has shrunk")
  (tuple "configuration" "write the settings as ETCD_... into extraEnvVars: etcd ignores variables beside a file")
  (tuple "existingConfigmap" "write the settings as ETCD_... into extraEnvVars: etcd ignores variables beside a file")
  (tuple "command" "the image's own command looks after the member")
  (tuple "args" "write flags of etcd as ETCD_... into extraEnvVars")
  (tuple "lifecycleHooks" "the hook is what lets a member leave when the set has shrunk")
  (tuple "customLivenessProbe" "set livenessProbe: its command knows of waits and of lost quorum")
  (tuple "customReadinessProbe" "set readinessProbe: its command knows of learners")
  (tuple "customStartupProbe" "set startupProbe: its command knows of rejoins")
-}}
{{- if or (index $v (index . 0)) (kindIs "bool" (index $v (index . 0))) -}}
{{- $wrong = append $wrong (printf "%s: %s" (index . 0) (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- with $v.auth.rbac -}}
{{- if or .create .enabled .rootPassword -}}
{{- $wrong = append $wrong "auth.rbac: this chart does not turn authentication on. Where it is on, auth.rbac.existingSecret names the secret with root's password; else `etcdctl user add root` and `etcdctl auth enable`, then the same" -}}
{{- end -}}
{{- end -}}
{{- $token := $v.auth.token | default dict -}}
{{- /* Bitnami's default is jwt, for whoever turns it on. */ -}}
{{- $type := dig "type" (ternary "jwt" "simple" (eq (toString (dig "enabled" "" $token)) "true")) $token -}}
{{- if and (ne (toString (dig "enabled" "" $token)) "false") (ne $type "simple") -}}
{{- $wrong = append $wrong "auth.token: write ETCD_AUTH_TOKEN into extraEnvVars and mount the key by extraVolumes; every member needs the same" -}}
{{- end -}}
{{- range $name := tuple "client" "peer" -}}
{{- with index $v.auth $name -}}
{{- if and .secureTransport (not .useAutoTLS) (not .existingSecret) -}}
{{- $wrong = append $wrong (printf "auth.%s.secureTransport needs auth.%s.existingSecret" $name $name) -}}
{{- end -}}
{{- if and (not .secureTransport) (or .enableAuthentication .useAutoTLS .existingSecret) -}}
{{- $wrong = append $wrong (printf "auth.%s has certificates and no secureTransport: without it nothing is encrypted" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.auth.client.useAutoTLS $v.disasterRecovery.enabled -}}
{{- $wrong = append $wrong "disasterRecovery.enabled: a certificate that a member makes for itself (auth.client.useAutoTLS) proves nothing to the CronJob: give auth.client.existingSecret" -}}
{{- end -}}
{{- if or (ne (int (dig "containerPorts" "client" 2379 ($v | toJson | fromJson))) 2379) (ne (int (dig "containerPorts" "peer" 2380 ($v | toJson | fromJson))) 2380) -}}
{{- $wrong = append $wrong "containerPorts: members listen at 2379 and 2380; service.ports.client may differ" -}}
{{- end -}}
{{- if ne $v.podManagementPolicy "Parallel" -}}
{{- $wrong = append $wrong "podManagementPolicy: with OrderedReady the first pod waits for the others, and they wait for it" -}}
{{- end -}}
{{- if and $v.livenessProbe.enabled (not $v.startupProbe.enabled) -}}
{{- $wrong = append $wrong "startupProbe.enabled: without it the liveness probe kills a member that reads a large database" -}}
{{- end -}}
{{- if and .Release.IsInstall (gt (int $v.replicaCount) 0) (lt (int $v.replicaCount) (int $v.initialSize)) -}}
{{- $wrong = append $wrong (printf "initialSize: %d members found the cluster, and replicaCount is %d: write initialSize: %d where the set begins with as many. Where it began with more and has shrunk since, render with --is-upgrade" (int $v.initialSize) (int $v.replicaCount) (int $v.replicaCount)) -}}
{{- end -}}
{{- with $v.disasterRecovery -}}
{{- if and .enabled (not .store) (not .pvc.existingClaim) -}}
{{- $wrong = append $wrong "disasterRecovery.enabled needs disasterRecovery.store (s3://BUCKET/PREFIX) or disasterRecovery.pvc.existingClaim" -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $v.global | default dict -}}
{{- if and (has $name (list "imageRegistry" "imagePullSecrets" "storageClass" "defaultStorageClass")) $value -}}
{{- $wrong = append $wrong (printf "global.%s: write %s" $name (get (dict "imageRegistry" "image.registry" "imagePullSecrets" "image.pullSecrets" "storageClass" "persistence.storageClass" "defaultStorageClass" "persistence.storageClass") $name)) -}}
{{- end -}}
{{- end -}}
{{- if and (ne (toString $v.pdb.minAvailable) "") (ne (toString $v.pdb.maxUnavailable) "") -}}
{{- $wrong = append $wrong "pdb: minAvailable and maxUnavailable: Kubernetes takes one of them" -}}
{{- end -}}
{{- if and (eq $v.autoCompactionMode "revision") (not (regexMatch "^[0-9]+$" (toString $v.autoCompactionRetention))) -}}
{{- $wrong = append $wrong (printf "autoCompactionRetention: with autoCompactionMode=revision etcd wants a number of revisions, and not %v" $v.autoCompactionRetention) -}}
{{- end -}}
{{- with $v.startupProbe -}}
{{- if and .enabled (lt (mul (int .periodSeconds) (int .failureThreshold)) 3600) -}}
{{- $wrong = append $wrong (printf "startupProbe: after %d seconds (periodSeconds x failureThreshold) Kubernetes kills a member that still waits for the others, or reads a large database: at least an hour" (mul (int .periodSeconds) (int .failureThreshold))) -}}
{{- end -}}
{{- end -}}
{{- with $wrong -}}
{{- fail (printf "\n%s" (join "\n" .)) -}}
{{- end -}}
{{- end -}}
