{{- define "sealgate.labels" -}}
app.kubernetes.io/name: sealgate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: sealgate
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sealgate.selector" -}}
app.kubernetes.io/name: sealgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sealgate.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest }}{{ $tagged }}@{{ .Values.image.digest }}{{ else }}{{ $tagged }}{{ end -}}
{{- end }}

{{- define "sealgate.subject" -}}
- kind: ServiceAccount
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
{{- end }}
