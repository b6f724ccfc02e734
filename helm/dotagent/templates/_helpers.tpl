{{- define "dotagent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods; never changes between releases of the chart. */}}
{{- define "dotagent.selector" -}}
app.kubernetes.io/name: dotagent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dotagent.labels" -}}
{{ include "dotagent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dotagent.image" -}}
{{- printf "%s-%s:%s" .root.Values.image.repository .service (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{/* The services that are switched on, as {"list": […]}: relay can be off. */}}
{{- define "dotagent.services" -}}
{{- $services := list "resolver" "identity" -}}
{{- if .Values.relay.enabled -}}{{- $services = append $services "relay" -}}{{- end -}}
{{- toYaml (dict "list" (append $services "gateway")) -}}
{{- end -}}

{{/* host:port of a pod's gRPC port. A pod, since callers hold a service to the key that they first saw; pods keep
theirs on their volumes. */}}
{{- define "dotagent.target" -}}
{{- $name := printf "%s-%s" (include "dotagent.fullname" .root) .service -}}
{{- printf "%s-%v.%s-headless.%s.svc:%d" $name .pod $name .root.Release.Namespace (int .root.Values.ports.grpc) -}}
{{- end -}}

{{/* Variables of the one service that is asked for; the common ones are in services.yaml. */}}
{{- define "dotagent.env" -}}
{{- $root := .root -}}
{{- $full := include "dotagent.fullname" $root -}}
{{- $identity := include "dotagent.target" (dict "root" $root "service" "identity" "pod" 0) -}}
{{- $resolver := include "dotagent.target" (dict "root" $root "service" "resolver" "pod" "$(POD_INDEX)") -}}
{{- if eq .service "resolver" -}}
{{- $own := printf "/dns/%s-resolver-headless.%s.svc/tcp/%d" $full $root.Release.Namespace (int $root.Values.ports.p2p) -}}
- name: DOTAGENT_BOOTSTRAP
  value: {{ concat (list $own) $root.Values.resolver.bootstrap | join "," | quote }}
- name: DOTAGENT_IDENTITY
  value: {{ $identity | quote }}
- name: DOTAGENT_NAME_POLICY
  value: {{ $root.Values.network.namePolicy | quote }}
{{- with $root.Values.network.registrars }}
- name: DOTAGENT_REGISTRAR
  value: {{ join "," . | quote }}
{{- end }}
- name: DOTAGENT_PUZZLE_STATIC_BITS
  value: {{ int $root.Values.network.puzzleStaticBits | quote }}
- name: DOTAGENT_PUZZLE_DYNAMIC_BITS
  value: {{ int $root.Values.network.puzzleDynamicBits | quote }}
- name: DOTAGENT_DISJOINT_PATHS
  value: {{ int $root.Values.resolver.disjointPaths | quote }}
- name: DOTAGENT_MAX_NODES_PER_IP_GROUP_IN_BUCKET
  value: {{ int $root.Values.resolver.maxNodesPerIpGroupInBucket | quote }}
- name: DOTAGENT_MAX_NODES_PER_IP_GROUP_IN_TABLE
  value: {{ int $root.Values.resolver.maxNodesPerIpGroupInTable | quote }}
{{- else if eq .service "identity" -}}
- name: DOTAGENT_NAME_POLICY
  value: {{ $root.Values.network.namePolicy | quote }}
- name: DOTAGENT_RESOLVER
  value: {{ $resolver | quote }}
- name: DOTAGENT_TRUST_DOMAIN
  value: {{ $root.Values.identity.trustDomain | quote }}
- name: DOTAGENT_CERTIFICATE_LIFETIME
  value: {{ $root.Values.identity.certificateLifetime | quote }}
{{- with $root.Values.identity.redeemers }}
- name: DOTAGENT_REDEEMER
  value: {{ join "," . | quote }}
{{- end }}
{{- else if eq .service "relay" -}}
- name: DOTAGENT_IDENTITY
  value: {{ $identity | quote }}
{{- else if eq .service "gateway" -}}
- name: DOTAGENT_RESOLVER
  value: {{ $resolver | quote }}
- name: DOTAGENT_IDENTITY
  value: {{ $identity | quote }}
{{- with $root.Values.gateway.limits }}
- name: DOTAGENT_AGENT_RATE
  value: {{ int .agentRate | quote }}
- name: DOTAGENT_AGENT_BURST
  value: {{ int .agentBurst | quote }}
- name: DOTAGENT_MAX_RECIPIENTS
  value: {{ int .maxRecipients | quote }}
- name: DOTAGENT_GATEWAY_RATE
  value: {{ int .gatewayRate | quote }}
- name: DOTAGENT_GATEWAY_BURST
  value: {{ int .gatewayBurst | quote }}
- name: DOTAGENT_ADDRESS_RATE
  value: {{ int .addressRate | quote }}
- name: DOTAGENT_ADDRESS_BURST
  value: {{ int .addressBurst | quote }}
- name: DOTAGENT_THROTTLE_SCORE
  value: {{ int .throttleScore | quote }}
- name: DOTAGENT_QUARANTINE_SCORE
  value: {{ int .quarantineScore | quote }}
- name: DOTAGENT_QUARANTINE_TIME
  value: {{ .quarantineTime | quote }}
- name: DOTAGENT_OVERLOAD_TARGET
  value: {{ .overloadTarget | quote }}
{{- end }}
{{- if $root.Values.gateway.cluster.enabled }}
- name: DOTAGENT_CLUSTER_PEER
  value: {{ printf "/dns/%s-gateway-headless.%s.svc/tcp/%d" $full $root.Release.Namespace (int $root.Values.ports.p2p) | quote }}
- name: DOTAGENT_CLUSTER_SECRET_FILE
  value: /etc/dotagent-cluster/secret
- name: DOTAGENT_CLUSTER_DRAIN_TIMEOUT
  value: "{{ $root.Values.gateway.cluster.drainSeconds }}s"
{{- end }}
{{- end -}}
{{- end -}}

{{/* The name of the secret that the gateways of a cluster share. */}}
{{- define "dotagent.clusterSecret" -}}
{{- .Values.gateway.cluster.existingSecret | default (printf "%s-gateway-cluster" (include "dotagent.fullname" .)) -}}
{{- end -}}

{{/* The gateways' first container: finds out the relays' addresses (files/ask-relays.sh). */}}
{{- define "dotagent.askRelays" -}}
{{- $name := printf "%s-relay" (include "dotagent.fullname" .) -}}
{{- $hosts := list -}}
{{- range $i := ternary (until (int .Values.relay.replicas)) list .Values.relay.enabled -}}
{{- $hosts = append $hosts (printf "%s-%d.%s-headless.%s.svc" $name $i $name $.Release.Namespace) -}}
{{- end -}}
- name: ask-relays
  image: {{ include "dotagent.image" (dict "root" . "service" "gateway") | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [bash, -c]
  args:
    - |
      {{- .Files.Get "files/ask-relays.sh" | nindent 6 }}
  env:
    - name: RELAY_HOSTS
      value: {{ join " " $hosts | quote }}
    - name: RELAYS
      value: {{ join " " .Values.gateway.relays | quote }}
    - name: GRPC_PORT
      value: {{ .Values.ports.grpc | quote }}
    - name: P2P_PORT
      value: {{ .Values.ports.p2p | quote }}
    # Where the command line remembers whom it spoke to.
    - name: HOME
      value: /tmp
  securityContext:
    {{- include "dotagent.securityContext" . | nindent 4 }}
  resources:
    requests:
      cpu: 10m
      memory: 32Mi
    limits:
      memory: 128Mi
  volumeMounts:
    - name: config
      mountPath: /etc/dotagent
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{- define "dotagent.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
