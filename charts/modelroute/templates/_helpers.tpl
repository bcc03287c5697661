{{/* One operator is enough for a cluster, and two would contend: its objects have one name, whatever the release's. */}}
{{- define "modelroute.name" -}}
modelroute-operator
{{- end }}

{{- define "modelroute.selector" -}}
app.kubernetes.io/name: modelroute
app.kubernetes.io/component: operator
{{- end }}

{{- define "modelroute.labels" -}}
{{ include "modelroute.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Called with the image and the chart. */}}
{{- define "modelroute.image" -}}
{{ .image.repository }}:{{ .image.tag | default .chart.AppVersion }}
{{- end }}

{{/* What the operator asks of the API server, and nothing else; a test compares it with the operator's own list. */}}
{{- define "modelroute.rules" -}}
- apiGroups: [modelroute.dev]
  resources: [modelroutes]
  verbs: [get, list, watch]
- apiGroups: [modelroute.dev]
  resources: [modelroutes/status]
  verbs: [patch]
# What it makes for a ModelRoute. get: a name may be taken by someone else's object, which is left alone.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Not watched: without KEDA there is no such kind.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, create, patch, delete]
# Which pods of a backend are ready.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if .Values.readSecrets }}
# Whether a key that a ModelRoute names is there. Never listed; the routers mount it, the operator keeps nothing of it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
# What keeps a pod from running; and an annotation on the router's brings a new configuration to them at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# The readiness gate of a replica, which opens when it has answered a first request.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What it asks in its own namespace, whichever it watches: the lease by which one of several operators acts. */}}
{{- define "modelroute.lease-rules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "modelroute.name" . }}]
  verbs: [get, update]
# What is not there yet has no name that a rule could know.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}
