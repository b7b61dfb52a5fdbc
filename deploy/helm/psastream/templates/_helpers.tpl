{{/* Short enough that names with a component and a system behind it remain names of services. */}}
{{- define "psastream.fullname" -}}
{{- if contains "psastream" .Release.Name -}}
{{- .Release.Name | trunc 24 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-psastream" (.Release.Name | trunc 14 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Name of a part: (dict "root" $ "component" "poller" "system" "float"). */}}
{{- define "psastream.name" -}}
{{- include "psastream.fullname" .root }}-{{ .component }}{{ with .system }}-{{ . | replace "_" "-" }}{{ end -}}
{{- end -}}

{{- define "psastream.selector" -}}
app.kubernetes.io/name: psastream
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .system }}
psastream/system: {{ . }}
{{- end }}
{{- end -}}

{{- define "psastream.labels" -}}
{{ include "psastream.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "psastream.image" -}}
{{- $image := .Values.image -}}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* What a connector file says: the vendor's, with the firm's keys over it. */}}
{{- define "psastream.connectorFile" -}}
{{- $system := index .root.Values.systems .system -}}
{{- $vendor := $system.vendor | default .system -}}
{{- $file := index (dict "poll" "source" "dispatch" "sink" "capture" "connector") .kind -}}
{{- $part := index $system .kind -}}
{{- $text := .root.Files.Get (printf "files/connectors/%s/%s.json" $vendor $file) -}}
{{- if and (not $text) (not $part.settings) -}}
{{- fail (printf "systems.%s.%s: psastream has no %s.json of %s; write its keys under settings, name among them" .system .kind $file $vendor) -}}
{{- end -}}
{{- $document := $text | default "{}" | fromJson -}}
{{- if not (dig "settings" "name" $document.name $part) -}}
{{- fail (printf "systems.%s.%s.settings: name is missing; add the name of %s.json" .system .kind $file) -}}
{{- end -}}
{{- if eq .kind "capture" -}}
{{- $_ := set $document "name" (dig "settings" "name" $document.name $part) -}}
{{- $_ := set $document "config" (mergeOverwrite ($document.config | default dict) (omit ($part.settings | default dict) "name")) -}}
{{- $document | toPrettyJson -}}
{{- else -}}
{{- mergeOverwrite $document ($part.settings | default dict) | toPrettyJson -}}
{{- end -}}
{{- end -}}

{{- define "psastream.landscape" -}}
{{- $systems := dict -}}
{{- range $name, $system := .Values.systems -}}
{{- $entry := dict "role" $system.role -}}
{{- with $system.legalEntities -}}{{- $_ := set $entry "legal_entities" . -}}{{- end -}}
{{- if $system.takesProjects -}}{{- $_ := set $entry "takes_projects" true -}}{{- end -}}
{{- if $system.takesStatus -}}{{- $_ := set $entry "takes_status" true -}}{{- end -}}
{{- $_ := set $systems $name $entry -}}
{{- end -}}
{{- dict "systems" $systems "firm" (dict "hand_off_stage" .Values.firm.handOffStage) | toYaml -}}
{{- end -}}

{{/* Every ConfigMap of a release: what a part reads, by the suffix of its name. JSON. */}}
{{- define "psastream.files" -}}
{{- $root := . -}}
{{- $all := dict "landscape" (dict "landscape.yaml" (include "psastream.landscape" $root)) -}}
{{- range $name, $files := .Values.folders -}}
{{- $data := dict -}}
{{- range $path, $text := $files -}}{{- $_ := set $data ($path | replace "/" "__") $text -}}{{- end -}}
{{- $_ := set $all (printf "folder-%s" ($name | replace "_" "-")) $data -}}
{{- end -}}
{{- with .Values.measures.files -}}{{- $_ := set $all "measures" . -}}{{- end -}}
{{- range $name, $system := .Values.systems -}}
{{- $data := dict -}}
{{- range $kind, $file := dict "poll" "source.json" "dispatch" "sink.json" "capture" "connector.json" -}}
{{- if hasKey $system $kind -}}
{{- $_ := set $data $file (include "psastream.connectorFile" (dict "root" $root "system" $name "kind" $kind)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $all (printf "connectors-%s" ($name | replace "_" "-")) $data -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* The suffixes of what every process reads, and of the connector files of some systems. JSON. */}}
{{- define "psastream.read" -}}
{{- $names := list "landscape" -}}
{{- range $name, $_ := .root.Values.folders -}}{{- $names = append $names (printf "folder-%s" ($name | replace "_" "-")) -}}{{- end -}}
{{- with .root.Values.measures.files -}}{{- $names = append $names "measures" -}}{{- end -}}
{{- range .systems -}}{{- $names = append $names (printf "connectors-%s" (. | replace "_" "-")) -}}{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{/* Of a part: variables without secrets. Keys of librdkafka become PSASTREAM_KAFKA_… */}}
{{- define "psastream.env" -}}
{{- $values := .root.Values -}}
{{- $env := dict "PSASTREAM_BOOTSTRAP_SERVERS" $values.kafka.bootstrapServers -}}
{{- $access := include "psastream.access" . | fromJson -}}
{{- $env = merge $env $access.env -}}
{{- $_ := set $env "PSASTREAM_LANDSCAPE" "/etc/psastream/landscape/landscape.yaml" -}}
{{- $folders := list -}}
{{- range $name, $_ := $values.folders -}}{{- $folders = append $folders (printf "/etc/psastream/systems/%s" $name) -}}{{- end -}}
{{- if $folders -}}{{- $_ := set $env "PSASTREAM_SYSTEMS" (join ":" $folders) -}}{{- end -}}
{{- if $values.measures.files -}}{{- $_ := set $env "PSASTREAM_MEASURES" "/etc/psastream/measures" -}}{{- end -}}
{{- $_ := set $env "PSASTREAM_REPLICATION_FACTOR" (toString (int $values.kafka.replicationFactor)) -}}
{{- $_ := set $env "PSASTREAM_LOG_LEVEL" $values.log.level -}}
{{- $_ := set $env "PSASTREAM_LOG_JSON" (toString $values.log.json) -}}
{{- if and .isProcess $values.traces.url -}}
{{- $_ := set $env "PSASTREAM_TRACES_URL" $values.traces.url -}}
{{- $_ := set $env "PSASTREAM_TRACES_RATIO" (toString $values.traces.ratio) -}}
{{- end -}}
{{- if .isProcess -}}
{{- $_ := set $env "PSASTREAM_METRICS_HOST" "0.0.0.0" -}}
{{- $_ := set $env "PSASTREAM_METRICS_PORT" (toString (int $values.metrics.port)) -}}
{{- end -}}
{{- range $name := .systems -}}
{{- range $key, $value := (index $values.systems $name).env -}}{{- $_ := set $env $key (toString $value) -}}{{- end -}}
{{- end -}}
{{- range $key, $value := .env -}}{{- $_ := set $env $key (toString $value) -}}{{- end -}}
{{- range $key := keys $env | sortAlpha }}
- name: {{ $key }}
  value: {{ index $env $key | quote }}
{{- end }}
{{- if .isNamed }}
- name: PSASTREAM_INSTANCE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- end -}}

{{/* The user of Kafka that a part signs in as, where each is a KafkaUser of Strimzi. */}}
{{- define "psastream.kafkaUser" -}}
{{- $users := dict "step" "deployer" "check" "deployer" "toolbox" .root.Values.toolbox.kafkaUser -}}
psastream-{{ get $users .component | default .component }}{{ with .system }}-{{ . | replace "_" "-" }}{{ end -}}
{{- end -}}

{{/*
How a part signs in at brokers, registry, Connect and read model, and its master keys: variables,
and the files of Secrets that they name, below /etc/psastream. Files are read anew, so that none of these secrets is
a variable. JSON.
*/}}
{{- define "psastream.access" -}}
{{- $values := .root.Values -}}
{{- $env := dict "PSASTREAM_REGISTRY_URL" $values.registry.url -}}
{{- $files := list -}}
{{- $places := list (list "registry" $values.registry) -}}
{{- if .connect -}}
{{- with $values.connect.url -}}
{{- $_ := set $env "PSASTREAM_CONNECT_URL" . -}}
{{- $_ := set $env "PSASTREAM_CONNECTOR_OWNER" $values.connect.connectorOwner -}}
{{- end -}}
{{- $places = append $places (list "connect" $values.connect) -}}
{{- end -}}
{{- if not .isApart -}}
{{- $kafka := $values.kafka -}}
{{- range $key, $value := $kafka.options -}}
{{- $_ := set $env (printf "PSASTREAM_KAFKA_%s" ($key | replace "." "_" | upper)) (toString $value) -}}
{{- end -}}
{{- $protocol := get $kafka.options "security.protocol" | default "PLAINTEXT" | toString | upper -}}
{{- $isUser := eq $kafka.users "strimzi" -}}
{{- $user := ternary (include "psastream.kafkaUser" .) $kafka.username $isUser -}}
{{- $secret := ternary $user $kafka.secret $isUser -}}
{{- $place := dict "tls" $kafka.tls -}}
{{- if hasPrefix "SASL_" $protocol -}}
{{- $_ := set $env "PSASTREAM_KAFKA_SASL_USERNAME" $user -}}
{{- $_ := set $env "PSASTREAM_KAFKA_SASL_PASSWORD_FILE" "/etc/psastream/kafka/password" -}}
{{- $files = append $files (dict "secret" $secret "key" "password" "path" "kafka/password") -}}
{{- else if and $isUser (eq $protocol "SSL") -}}
{{- range $key, $file := dict "CERTIFICATE" "user.crt" "KEY" "user.key" -}}
{{- $_ := set $env (printf "PSASTREAM_KAFKA_SSL_%s_LOCATION" $key) (printf "/etc/psastream/kafka/%s" $file) -}}
{{- $files = append $files (dict "secret" $secret "key" $file "path" (printf "kafka/%s" $file)) -}}
{{- end -}}
{{- end -}}
{{- $places = append $places (list "kafka" $place) -}}
{{- /* Whoever asks no broker reads no records. */}}
{{- with $values.encryption.secret -}}
{{- $_ := set $env "PSASTREAM_MASTER_KEYS_FILE" "/etc/psastream/encryption/keys" -}}
{{- $files = append $files (dict "secret" . "key" "keys" "path" "encryption/keys") -}}
{{- end -}}
{{- end -}}
{{- range $each := $places -}}
{{- $name := index $each 0 -}}
{{- $place := index $each 1 -}}
{{- with $place.username -}}
{{- $_ := set $env (printf "PSASTREAM_%s_USERNAME" ($name | upper)) . -}}
{{- $_ := set $env (printf "PSASTREAM_%s_PASSWORD_FILE" ($name | upper)) (printf "/etc/psastream/%s/password" $name) -}}
{{- $files = append $files (dict "secret" $place.secret "key" "password" "path" (printf "%s/password" $name)) -}}
{{- end -}}
{{- if $place.tls.secret -}}
{{- range $key, $file := dict "CA" $place.tls.ca "CERTIFICATE" $place.tls.certificate "KEY" $place.tls.key -}}
{{- if $file -}}
{{- $_ := set $env (printf "PSASTREAM_%s_SSL_%s_LOCATION" ($name | upper) $key) (printf "/etc/psastream/%s/tls/%s" $name $file) -}}
{{- $files = append $files (dict "secret" $place.tls.secret "key" $file "path" (printf "%s/tls/%s" $name $file)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .readModel $values.readModel.enabled -}}
{{- $_ := set $env "PSASTREAM_READ_MODEL_URL_FILE" "/etc/psastream/read-model/url" -}}
{{- $files = append $files (dict "secret" $values.readModel.secret "key" "url" "path" "read-model/url") -}}
{{- with $values.readModel.tls -}}
{{- if .secret -}}
{{- $secret := .secret -}}
{{- range compact (list .ca .certificate .key) -}}
{{- $files = append $files (dict "secret" $secret "key" . "path" (printf "read-model/tls/%s" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "env" $env "files" $files | toJson -}}
{{- end -}}

{{/* The names of the Secrets of a part's systems. JSON. */}}
{{- define "psastream.secrets" -}}
{{- $names := list -}}
{{- $systems := .root.Values.systems -}}
{{- range .systems -}}{{- $names = append $names ((index $systems .).secret | default "") -}}{{- end -}}
{{- $names | compact | uniq | toJson -}}
{{- end -}}

{{/*
A pod. The part it runs as a dict:
  root, component, system (of labels), args or command, systems (whose files, variables and secrets
  it is given), connect, readModel (whether it is given their addresses), isApart (from brokers), env, resources, grace,
  isProcess (has metrics and probes), isNamed (takes over by its name), startup (probe's path and
  seconds), isVolume (its state is on a volume claim), volumeSize (of what is not), restartPolicy, annotations
*/}}
{{- define "psastream.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $files := include "psastream.files" $root | fromJson -}}
{{- $read := include "psastream.read" . | fromJsonArray -}}
{{- $prefix := .prefix | default "" -}}
{{- $said := list -}}
{{- range $read -}}{{- $said = append $said (index $files .) -}}{{- end -}}
{{- $secrets := include "psastream.secrets" . | fromJsonArray -}}
metadata:
  labels:
    {{- include "psastream.labels" . | nindent 4 }}
  annotations:
    {{- /* What it reads: another file is another pod. */}}
    checksum/files: {{ $said | toJson | sha256sum }}
    kubectl.kubernetes.io/default-container: psastream
spec:
  serviceAccountName: {{ .serviceAccount | default (include "psastream.fullname" $root) }}
  automountServiceAccountToken: false
  {{- /* A variable PSASTREAM_… of a neighbouring service would be one that psastream does not know. */}}
  enableServiceLinks: false
  {{- /* Somebody reaps what taps leave behind. */}}
  shareProcessNamespace: true
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $values.scheduling.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.scheduling.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.scheduling.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .isProcess }}
  topologySpreadConstraints:
    {{- range $key, $how := dict "topology.kubernetes.io/zone" $values.topologySpread.zone "kubernetes.io/hostname" $values.topologySpread.host }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $how }}
      labelSelector:
        matchLabels:
          {{- include "psastream.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: psastream
      image: {{ include "psastream.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "psastream.env" . | trim | nindent 8 }}
      {{- if .isProcess }}
      ports:
        - name: metrics
          containerPort: {{ $values.metrics.port }}
      startupProbe:
        httpGet: {path: {{ .startup.path }}, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div (add (int .startup.seconds) 4) 5 }}
      livenessProbe:
        httpGet: {path: /livez, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - {name: state, mountPath: /var/lib/psastream}
        - {name: tmp, mountPath: /tmp}
        - {name: files, mountPath: /etc/psastream, readOnly: true}
        {{- if $secrets }}
        - {name: secrets, mountPath: /run/secrets, readOnly: true}
        {{- end }}
  volumes:
    {{- if not .isVolume }}
    - name: state
      emptyDir: {sizeLimit: {{ .volumeSize | default "1Gi" }}}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: files
      projected:
        defaultMode: 0440
        sources:
          {{- range $name := $read }}
          - configMap:
              name: {{ include "psastream.fullname" $root }}-{{ $prefix }}{{ $name }}
              items:
                {{- range $key, $_ := index $files $name }}
                - {key: {{ $key }}, path: {{ include "psastream.path" (dict "name" $name "key" $key "root" $root) }}}
                {{- end }}
          {{- end }}
          {{- range (include "psastream.access" . | fromJson).files }}
          - secret:
              name: {{ .secret }}
              items:
                - {key: {{ .key }}, path: {{ .path }}}
          {{- end }}
    {{- if $secrets }}
    {{- /* A folder, no single files: what is rotated appears in it while the process runs. */}}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $secrets }}
          - secret:
              name: {{ . }}
          {{- end }}
    {{- end }}
{{- end -}}

{{/* Where a key of a ConfigMap lies below /etc/psastream. */}}
{{- define "psastream.path" -}}
{{- $root := .root -}}
{{- if hasPrefix "folder-" .name -}}
systems/{{ .name | trimPrefix "folder-" | replace "-" "_" }}/{{ .key | replace "__" "/" }}
{{- else if hasPrefix "connectors-" .name -}}
connectors/{{ .name | trimPrefix "connectors-" | replace "-" "_" }}/{{ .key }}
{{- else -}}
{{ .name }}/{{ .key }}
{{- end -}}
{{- end -}}

{{/* The systems that have a part of a kind: poll, dispatch or capture. JSON. */}}
{{- define "psastream.systemsWith" -}}
{{- $kind := .kind -}}
{{- $names := list -}}
{{- range $name, $system := .root.Values.systems -}}
{{- if hasKey $system $kind -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- $names | sortAlpha | toJson -}}
{{- end -}}

{{/* The systems whose connectors this release writes: none where Strimzi keeps them. JSON. */}}
{{- define "psastream.registered" -}}
{{- if eq .Values.connect.connectorOwner "psastream" -}}
{{- include "psastream.systemsWith" (dict "root" . "kind" "capture") -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* Where each process serves its metrics, as `psastream status` is told. */}}
{{- define "psastream.processes" -}}
{{- $root := . -}}
{{- $port := .Values.metrics.port -}}
{{- $all := list -}}
{{- $worker := include "psastream.name" (dict "root" $root "component" "worker") -}}
{{- $workers := ternary .Values.workers.replicas .Values.workers.scaling.minReplicas (eq .Values.workers.scaling.mode "none") -}}
{{- range $number := until (int $workers) -}}
{{- $all = append $all (printf "worker-%d=http://%s-%d.%s:%v" $number $worker $number $worker $port) -}}
{{- end -}}
{{- if .Values.measures.files -}}
{{- $name := include "psastream.name" (dict "root" $root "component" "measures") -}}
{{- $all = append $all (printf "measures=http://%s-0.%s:%v" $name $name $port) -}}
{{- end -}}
{{- range $kind, $component := dict "poll" "poller" "dispatch" "dispatcher" -}}
{{- range $system := include "psastream.systemsWith" (dict "root" $root "kind" $kind) | fromJsonArray -}}
{{- $name := include "psastream.name" (dict "root" $root "component" $component "system" $system) -}}
{{- $all = append $all (printf "%s-%s=http://%s:%v" $component ($system | replace "_" "-") $name $port) -}}
{{- end -}}
{{- end -}}
{{- if include "psastream.systemsWith" (dict "root" $root "kind" "capture") | fromJsonArray -}}
{{- $all = append $all (printf "connect-watcher=http://%s:%v" (include "psastream.name" (dict "root" $root "component" "connect-watcher")) $port) -}}
{{- end -}}
{{- if .Values.readModel.enabled -}}
{{- $all = append $all (printf "read-model=http://%s:%v" (include "psastream.name" (dict "root" $root "component" "read-model")) $port) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* --option=file for each system of a kind. */}}
{{- define "psastream.fileOptions" -}}
{{- $options := list -}}
{{- range $kind, $how := dict "poll" (list .poll "source.json") "dispatch" (list .dispatch "sink.json") "capture" (list .capture "connector.json") -}}
{{- if index $how 0 -}}
{{- range $system := include "psastream.systemsWith" (dict "root" $.root "kind" $kind) | fromJsonArray -}}
{{- $options = append $options (printf "%s=/etc/psastream/connectors/%s/%s" (index $how 0) $system (index $how 1)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $options | toJson -}}
{{- end -}}
