{{/* What no schema can say of two values at once. Every problem is told, in one message. */}}
{{- define "psastream.validate" -}}
{{- $values := .Values -}}
{{- $problems := list -}}
{{- if and $values.readModel.enabled (not $values.readModel.secret) -}}
{{- $problems = append $problems "readModel: name a secret whose key `url` is its address" -}}
{{- end -}}
{{- $kafka := $values.kafka -}}
{{- $protocol := get $kafka.options "security.protocol" | default "PLAINTEXT" | toString | upper -}}
{{- $isSasl := hasPrefix "SASL_" $protocol -}}
{{- if and $kafka.users (or $kafka.username $kafka.secret) -}}
{{- $problems = append $problems "kafka: with users each process has its own; leave username and secret out" -}}
{{- else if and $isSasl (not $kafka.users) (not (and $kafka.username $kafka.secret)) -}}
{{- $problems = append $problems (printf "kafka: security.protocol is %s; name username and secret, or users" $protocol) -}}
{{- end -}}
{{- if and (or $kafka.username $kafka.secret) (not $isSasl) -}}
{{- $problems = append $problems (printf "kafka: a user is named, and security.protocol is %s; set it to SASL_SSL" $protocol) -}}
{{- end -}}
{{- if and $kafka.users (eq $protocol "PLAINTEXT") -}}
{{- $problems = append $problems "kafka.users: users sign in by SASL_SSL or SSL; set security.protocol" -}}
{{- end -}}
{{- if and $kafka.tls.secret (not (hasSuffix "SSL" $protocol)) -}}
{{- $problems = append $problems (printf "kafka.tls: a secret is named, and security.protocol is %s; set it to SSL or SASL_SSL" $protocol) -}}
{{- end -}}
{{- range $name, $place := dict "kafka" $kafka "registry" $values.registry "connect" $values.connect -}}
{{- if and $place.tls.secret (ne (empty $place.tls.certificate) (empty $place.tls.key)) -}}
{{- $problems = append $problems (printf "%s.tls: certificate and key belong together; name both or none" $name) -}}
{{- end -}}
{{- if and (ne $name "kafka") (ne (empty $place.username) (empty $place.secret)) -}}
{{- $problems = append $problems (printf "%s: username and secret belong together; name both or none" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.connect.connectorOwner "strimzi") (or $values.connect.username $values.connect.secret) -}}
{{- $problems = append $problems "connect: Strimzi's operator signs in at no Connect, so with connectorOwner strimzi it asks for no password; leave username and secret out" -}}
{{- end -}}
{{- $resources := list -}}
{{- $takers := list -}}
{{- range $name, $system := $values.systems -}}
{{- if eq $system.role "resource" -}}{{- $resources = append $resources $name -}}{{- end -}}
{{- if not (or (hasKey $system "poll") (hasKey $system "capture")) -}}
{{- $problems = append $problems (printf "systems.%s: nothing reads it; add poll: {} or, for a database, capture: {}" $name) -}}
{{- end -}}
{{- if and (hasKey $system "capture") (not $values.connect.url) -}}
{{- $problems = append $problems (printf "systems.%s.capture: name Kafka Connect by connect.url" $name) -}}
{{- end -}}
{{- if and (hasKey $system "capture") (eq $values.connect.connectorOwner "strimzi") -}}
{{- $file := include "psastream.connectorFile" (dict "root" $ "system" $name "kind" "capture") | fromJson -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $file.name) -}}
{{- $problems = append $problems (printf "systems.%s.capture: a KafkaConnector cannot be called %s; give settings.name small letters, digits, and . - between them" $name $file.name) -}}
{{- end -}}
{{- end -}}
{{- if and $system.legalEntities (ne $system.role "erp") -}}
{{- $problems = append $problems (printf "systems.%s.legalEntities: only an erp bills for legal entities" $name) -}}
{{- end -}}
{{- if and $system.takesProjects (ne $system.role "psa") -}}
{{- $problems = append $problems (printf "systems.%s.takesProjects: it is said of a psa" $name) -}}
{{- end -}}
{{- if and $system.takesStatus (ne $system.role "crm") -}}
{{- $problems = append $problems (printf "systems.%s.takesStatus: it is said of a crm" $name) -}}
{{- end -}}
{{- if $system.takesProjects -}}{{- $takers = append $takers $name -}}{{- end -}}
{{- $isSent := or (has $system.role (list "erp" "resource")) (and (eq $system.role "psa") $system.takesProjects) (and (eq $system.role "crm") $system.takesStatus) -}}
{{- if and (not $isSent) (hasKey $system "dispatch") -}}
{{- $problems = append $problems (printf "systems.%s.dispatch: no commands go to the role %s; leave it out" $name $system.role) -}}
{{- end -}}
{{- if and $isSent (not (hasKey $system "dispatch")) -}}
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
{{- if gt (len $takers) 1 -}}
{{- $problems = append $problems (printf "systems: one has takesProjects at most, and these have it: %s" (join ", " $takers)) -}}
{{- end -}}
{{- range $name, $files := $values.folders -}}
{{- range $file, $key := dict "source.json" "poll" "sink.json" "dispatch" "connector.json" "capture" -}}
{{- if hasKey $files $file -}}
{{- $problems = append $problems (printf "folders.%s: the chart makes %s of systems.%s.%s.settings; put its keys there, and leave the file out" $name $file $name $key) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $values.systems $name) -}}
{{- $problems = append $problems (printf "folders.%s: no system bears this name; add systems.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if $values.networkPolicy.enabled -}}
{{- $places := dict "kafka" (list "kafka.bootstrapServers" $kafka.bootstrapServers) "registry" (list "registry.url" $values.registry.url) "connect" (list "connect.url" $values.connect.url) "collector" (list "traces.url" $values.traces.url) -}}
{{- range $name, $place := $places -}}
{{- $ports := list -}}
{{- range (index $values.networkPolicy $name).ports -}}{{- $ports = append $ports (toString (int .)) -}}{{- end -}}
{{- range $address := splitList "," (index $place 1) | compact -}}
{{- $port := regexFind ":[0-9]+(/|$)" $address | trimPrefix ":" | trimSuffix "/" | default (ternary "443" "80" (hasPrefix "https://" $address)) -}}
{{- if not (has $port $ports) -}}
{{- $problems = append $problems (printf "networkPolicy.%s.ports: %s has %s, and port %s is not among them; add it" $name (index $place 0) $address $port) -}}
{{- end -}}
{{- end -}}
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
