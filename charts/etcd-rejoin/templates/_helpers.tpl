{{/* The names are made as Bitnami's chart makes them: claims and members keep theirs. */}}
{{- define "etcd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Values.nameOverride .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "etcd.headless" -}}
{{- printf "%s-headless" (include "etcd.fullname" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The label that lets a pod at the client port: 63 letters at most. */}}
{{- define "etcd.client" -}}
{{- printf "%s-client" (include "etcd.fullname" . | trunc 56 | trimSuffix "-") -}}
{{- end -}}

{{/* What a selector matches. Bitnami's has the same three, so that its set can be taken over. */}}
{{- define "etcd.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: etcd
{{- end -}}

{{- define "etcd.labels" -}}
{{ include "etcd.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "etcd.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "etcd.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "etcd.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (toString .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Names of secrets, as a pod lists them. */}}
{{- define "etcd.names" -}}
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end -}}

{{/* A probe by its word: the values without `enabled`. */}}
{{- define "etcd.probe" -}}
exec:
  command: [/usr/local/bin/etcd-rejoin, probe, {{ .word }}]
{{ omit .values "enabled" | toYaml }}
{{- end -}}

{{/* The files of a secret with a certificate, as etcd's variables. `prefix` is ETCD or ETCD_PEER. */}}
{{- define "etcd.tls" -}}
{{- $dir := printf "/etc/etcd/%s" .name -}}
{{- $peer := ternary "PEER_" "" (eq .name "peer") -}}
{{- $ca := printf "%s/%s" $dir (.values.caFilename | default "ca.crt") -}}
{{- if .values.useAutoTLS }}
- name: ETCD_{{ $peer }}AUTO_TLS
  value: "true"
{{- else }}
- name: ETCD_{{ $peer }}CERT_FILE
  value: {{ $dir }}/{{ .values.certFilename }}
- name: ETCD_{{ $peer }}KEY_FILE
  value: {{ $dir }}/{{ .values.certKeyFilename }}
{{- if or .values.enableAuthentication .values.caFilename }}
- name: ETCD_{{ $peer }}TRUSTED_CA_FILE
  value: {{ $ca }}
{{- else if not $peer }}
- name: REJOIN_CACERT
  value: {{ $ca }}
{{- end }}
{{- if .values.enableAuthentication }}
- name: ETCD_{{ $peer }}CLIENT_CERT_AUTH
  value: "true"
{{- end }}
{{- end }}
{{- end -}}
