{{/* What no schema can say of two values at once. Every problem is told, in one message. */}}
{{- define "psastream.validate" -}}
{{- $values := .Values -}}
{{- $problems := list -}}
{{- if not (or $values.registry.url $values.registry.secret) -}}
{{- $problems = append $problems "registry: name its url, or a secret with PSASTREAM_REGISTRY_URL" -}}
{{- end -}}
{{- if and $values.registry.url $values.registry.secret -}}
{{- $problems = append $problems "registry: url and secret both name it; leave one of them out" -}}
{{- end -}}
{{- if and $values.connect.url $values.connect.secret -}}
{{- $problems = append $problems "connect: url and secret both name it; leave one of them out" -}}
{{- end -}}
{{- if and $values.readModel.enabled (not $values.readModel.secret) -}}
{{- $problems = append $problems "readModel: name a secret with PSASTREAM_READ_MODEL_URL" -}}
{{- end -}}
{{- $protocol := get $values.kafka.options "security.protocol" | default "PLAINTEXT" | toString | upper -}}
{{- if and (hasPrefix "SASL_" $protocol) (not $values.kafka.secret) -}}
{{- $problems = append $problems (printf "kafka: security.protocol is %s; name a secret with PSASTREAM_KAFKA_SASL_USERNAME and PSASTREAM_KAFKA_SASL_PASSWORD" $protocol) -}}
{{- end -}}
{{- if and $values.kafka.secret (not (hasPrefix "SASL_" $protocol)) -}}
{{- $problems = append $problems (printf "kafka: a secret is named, and security.protocol is %s; set it to SASL_SSL" $protocol) -}}
{{- end -}}
{{- if and $values.kafka.tls.secret (not (hasSuffix "SSL" $protocol)) -}}
{{- $problems = append $problems (printf "kafka.tls: a secret is named, and security.protocol is %s; set it to SSL or SASL_SSL" $protocol) -}}
{{- end -}}
{{- if and $values.kafka.tls.secret (ne (empty $values.kafka.tls.certificate) (empty $values.kafka.tls.key)) -}}
{{- $problems = append $problems "kafka.tls: certificate and key belong together; name both or none" -}}
{{- end -}}
{{- $resources := list -}}
{{- range $name, $system := $values.systems -}}
{{- if eq $system.role "resource" -}}{{- $resources = append $resources $name -}}{{- end -}}
{{- if not (or (hasKey $system "poll") (hasKey $system "capture")) -}}
{{- $problems = append $problems (printf "systems.%s: nothing reads it; add poll: {} or, for a database, capture: {}" $name) -}}
{{- end -}}
{{- if and (hasKey $system "capture") (not (or $values.connect.url $values.connect.secret)) -}}
{{- $problems = append $problems (printf "systems.%s.capture: name Kafka Connect by connect.url, or a secret with PSASTREAM_CONNECT_URL" $name) -}}
{{- end -}}
{{- if and $system.legalEntities (ne $system.role "erp") -}}
{{- $problems = append $problems (printf "systems.%s.legalEntities: only an erp bills for legal entities" $name) -}}
{{- end -}}
{{- if and (has $system.role (list "crm" "psa")) (hasKey $system "dispatch") -}}
{{- $problems = append $problems (printf "systems.%s.dispatch: no commands go to a %s; leave it out" $name $system.role) -}}
{{- end -}}
{{- if and (has $system.role (list "erp" "resource")) (not (hasKey $system "dispatch")) -}}
{{- $problems = append $problems (printf "systems.%s: commands go to the role %s; add dispatch: {}" $name $system.role) -}}
{{- end -}}
{{- range $kind := list "poll" "dispatch" -}}
{{- if and (hasKey $system $kind) (not $system.secret) -}}
{{- $file := include "psastream.connectorFile" (dict "root" $ "system" $name "kind" $kind) -}}
{{- range $variable := regexFindAll "\\$\\{env:[A-Z0-9_]+\\}" $file -1 | uniq -}}
{{- $variable = trimPrefix "${env:" $variable | trimSuffix "}" -}}
{{- if not (hasKey ($system.env | default dict) $variable) -}}
{{- $problems = append $problems (printf "systems.%s: its %s file names %s; give it by env, or by a secret" $name $kind $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (len $resources) 1 -}}
{{- $problems = append $problems (printf "systems: one resource tool at most, and there are %s" (join ", " $resources)) -}}
{{- end -}}
{{- range $name, $_ := $values.folders -}}
{{- if not (hasKey $values.systems $name) -}}
{{- $problems = append $problems (printf "folders.%s: no system bears this name; add systems.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- with $values.workers.scaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- $problems = append $problems (printf "workers.scaling: minReplicas is %d and maxReplicas %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and (eq .mode "keda") (not .prometheusAddress) -}}
{{- $problems = append $problems "workers.scaling: keda asks Prometheus; name its prometheusAddress" -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "values are refused:\n- %s" ($problems | uniq | join "\n- ")) -}}
{{- end -}}
{{- end -}}
