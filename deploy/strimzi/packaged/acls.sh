#!/bin/sh
# Rules of the users of psastream; adding one that there is changes nothing.
# BOOTSTRAP_SERVERS: the brokers; COMMAND_CONFIG: client properties of somebody who may alter rules.
# Where users sign in by certificates, PRINCIPAL=User:CN= says how principals begin.
set -eu
acls() {
  kafka-acls.sh --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config "$COMMAND_CONFIG" \
    --add "$@"
}

# psastream-worker: psastream worker
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Read \
  --topic src.salesforce.account \
  --topic src.salesforce.opportunity \
  --topic src.salesforce.opportunity_line_item \
  --topic src.netsuite.subsidiary \
  --topic src.netsuite.customer \
  --topic src.netsuite.project \
  --topic src.netsuite.time_bill \
  --topic src.netsuite.invoice \
  --topic src.float.person \
  --topic src.float.role \
  --topic src.float.project \
  --topic src.float.allocation \
  --topic src.float.timeoff \
  --topic src.float.public_holiday \
  --topic src.float.team_holiday \
  --topic src.inhouse.projects \
  --topic src.inhouse.tasks \
  --topic src.inhouse.time_entries \
  --topic src.inhouse.expenses \
  --topic psa.command_result \
  --topic psa.dlq_decision
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Read --operation Write \
  --topic psastream-normalize-state \
  --topic psa.customer \
  --topic psa.internal.customer_demand \
  --topic psastream-customer-state \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.legal_entity \
  --topic psa.internal.customer_status \
  --topic psa.internal.project_link \
  --topic psastream-engagement-state \
  --topic psa.project \
  --topic psa.internal.project_context \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psastream-project-state \
  --topic psa.internal.partial \
  --topic psa.internal.calendar \
  --topic psastream-rollup-state
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Write \
  --topic psa.task \
  --topic psa.role \
  --topic psa.metric.project_margin \
  --topic psa.metric.utilization \
  --topic psa.metric.pipeline_health \
  --topic psa.status.customer \
  --topic psa.status.project \
  --topic psa.status.assignment \
  --topic psa.status.billing \
  --topic psa.command.netsuite \
  --topic psa.command.float \
  --topic psa.exception
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Write --operation Read --operation DescribeConfigs \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Describe \
  --group psastream-letters \
  --group psastream-recovery
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Read \
  --group psastream
acls --allow-principal "${PRINCIPAL:-User:}psastream-worker" --operation Write \
  --resource-pattern-type prefixed \
  --transactional-id psastream-worker-

# psastream-poller-salesforce: psastream poll, salesforce
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-salesforce" --operation Write \
  --topic src.salesforce.account \
  --topic src.salesforce.opportunity \
  --topic src.salesforce.opportunity_line_item \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-salesforce" --operation Read --operation Write \
  --topic psastream-bookmarks \
  --topic psastream-source-orders
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-salesforce" --operation Describe \
  --group psastream-source-log \
  --group psastream-read-topic
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-salesforce" --operation Write \
  --transactional-id psastream-source-salesforce

# psastream-poller-netsuite: psastream poll, netsuite
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-netsuite" --operation Write \
  --topic src.netsuite.subsidiary \
  --topic src.netsuite.customer \
  --topic src.netsuite.project \
  --topic src.netsuite.time_bill \
  --topic src.netsuite.invoice \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-netsuite" --operation Read --operation Write \
  --topic psastream-bookmarks \
  --topic psastream-source-orders
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-netsuite" --operation Describe \
  --group psastream-source-log \
  --group psastream-read-topic
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-netsuite" --operation Write \
  --transactional-id psastream-source-netsuite

# psastream-poller-float: psastream poll, float
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-float" --operation Write \
  --topic src.float.person \
  --topic src.float.role \
  --topic src.float.project \
  --topic src.float.allocation \
  --topic src.float.timeoff \
  --topic src.float.public_holiday \
  --topic src.float.team_holiday \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-float" --operation Read --operation Write \
  --topic psastream-bookmarks \
  --topic psastream-source-orders
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-float" --operation Describe \
  --group psastream-source-log \
  --group psastream-read-topic
acls --allow-principal "${PRINCIPAL:-User:}psastream-poller-float" --operation Write \
  --transactional-id psastream-source-float

# psastream-dispatcher-netsuite: psastream dispatch, netsuite
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Read \
  --topic psa.command.netsuite \
  --topic psa.command_retry \
  --topic psa.command_decision \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.project \
  --topic psa.opportunity
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Describe \
  --topic psa.command.float
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Read --operation Write \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.exception
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Write \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Read \
  --group psastream-dispatch
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-netsuite" --operation Describe \
  --group psastream-dispatch-signals \
  --group psastream-read-topic

# psastream-dispatcher-float: psastream dispatch, float
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Read \
  --topic psa.command.float \
  --topic psa.command_retry \
  --topic psa.command_decision \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.project \
  --topic psa.opportunity
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Describe \
  --topic psa.command.netsuite
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Read --operation Write \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.exception
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Write \
  --topic psa.dlq
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Read \
  --group psastream-dispatch
acls --allow-principal "${PRINCIPAL:-User:}psastream-dispatcher-float" --operation Describe \
  --group psastream-dispatch-signals \
  --group psastream-read-topic

# psastream-read-model: psastream readmodel run, rebuild, status
acls --allow-principal "${PRINCIPAL:-User:}psastream-read-model" --operation Read \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.project \
  --topic psa.task \
  --topic psa.role \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psa.employment \
  --topic psa.job \
  --topic psa.compensation \
  --topic psa.payroll_cost \
  --topic psa.purchase_order \
  --topic psa.supplier_invoice \
  --topic psa.goods_receipt \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.command_decision \
  --topic psa.exception \
  --topic psa.metric.project_margin \
  --topic psa.metric.utilization \
  --topic psa.metric.pipeline_health \
  --topic psa.status.customer \
  --topic psa.status.project \
  --topic psa.status.assignment \
  --topic psa.status.billing \
  --topic psa.command.netsuite \
  --topic psa.command.float
acls --allow-principal "${PRINCIPAL:-User:}psastream-read-model" --operation Describe \
  --group psastream-read-model \
  --group psastream-read-topic

# psastream-connect: Kafka Connect with Debezium
acls --allow-principal "${PRINCIPAL:-User:}psastream-connect" --operation Read --operation Write --operation DescribeConfigs \
  --topic psastream-connect-configs \
  --topic psastream-connect-offsets \
  --topic psastream-connect-status
acls --allow-principal "${PRINCIPAL:-User:}psastream-connect" --operation Write \
  --topic src.inhouse.expenses \
  --topic src.inhouse.projects \
  --topic src.inhouse.tasks \
  --topic src.inhouse.time_entries \
  --topic __debezium-heartbeat.src
acls --allow-principal "${PRINCIPAL:-User:}psastream-connect" --operation Read \
  --group psastream-connect

# psastream-deployer: psastream topics apply, check
acls --allow-principal "${PRINCIPAL:-User:}psastream-deployer" --operation Create --operation Describe --operation DescribeConfigs \
  --topic src.salesforce.account \
  --topic src.salesforce.opportunity \
  --topic src.salesforce.opportunity_line_item \
  --topic src.netsuite.subsidiary \
  --topic src.netsuite.customer \
  --topic src.netsuite.project \
  --topic src.netsuite.time_bill \
  --topic src.netsuite.invoice \
  --topic src.float.person \
  --topic src.float.role \
  --topic src.float.project \
  --topic src.float.allocation \
  --topic src.float.timeoff \
  --topic src.float.public_holiday \
  --topic src.float.team_holiday \
  --topic src.inhouse.projects \
  --topic src.inhouse.tasks \
  --topic src.inhouse.time_entries \
  --topic src.inhouse.expenses \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.project \
  --topic psa.task \
  --topic psa.role \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psa.employment \
  --topic psa.job \
  --topic psa.compensation \
  --topic psa.payroll_cost \
  --topic psa.purchase_order \
  --topic psa.supplier_invoice \
  --topic psa.goods_receipt \
  --topic psa.internal.customer_demand \
  --topic psa.internal.customer_status \
  --topic psa.internal.project_link \
  --topic psa.internal.project_context \
  --topic psa.internal.calendar \
  --topic psa.internal.partial \
  --topic psa.internal.measure_partial \
  --topic psa.internal.projection \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.command_retry \
  --topic psa.command_decision \
  --topic psa.exception \
  --topic psa.dlq \
  --topic psa.dlq_decision \
  --topic psa.metric.project_margin \
  --topic psa.metric.utilization \
  --topic psa.metric.pipeline_health \
  --topic psa.status.customer \
  --topic psa.status.project \
  --topic psa.status.assignment \
  --topic psa.status.billing \
  --topic psastream-measures-state \
  --topic psastream-bookmarks \
  --topic psastream-source-orders \
  --topic psa.command.netsuite \
  --topic psa.command.float
acls --allow-principal "${PRINCIPAL:-User:}psastream-deployer" --operation Create --operation Describe --operation DescribeConfigs --operation Read \
  --topic psastream-normalize-state \
  --topic psastream-customer-state \
  --topic psastream-engagement-state \
  --topic psastream-project-state \
  --topic psastream-rollup-state
acls --allow-principal "${PRINCIPAL:-User:}psastream-deployer" --operation DescribeConfigs \
  --cluster
acls --allow-principal "${PRINCIPAL:-User:}psastream-deployer" --operation Write \
  --transactional-id psastream-check
acls --allow-principal "${PRINCIPAL:-User:}psastream-deployer" --operation Describe \
  --group psastream-read-topic

# psastream-reader: psastream sql, export, topics read, commands, exceptions list, dlq list
acls --allow-principal "${PRINCIPAL:-User:}psastream-reader" --operation Read \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.project \
  --topic psa.task \
  --topic psa.role \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psa.employment \
  --topic psa.job \
  --topic psa.compensation \
  --topic psa.payroll_cost \
  --topic psa.purchase_order \
  --topic psa.supplier_invoice \
  --topic psa.goods_receipt \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.command_retry \
  --topic psa.command_decision \
  --topic psa.exception \
  --topic psa.dlq \
  --topic psa.dlq_decision \
  --topic psa.metric.project_margin \
  --topic psa.metric.utilization \
  --topic psa.metric.pipeline_health \
  --topic psa.status.customer \
  --topic psa.status.project \
  --topic psa.status.assignment \
  --topic psa.status.billing \
  --topic psa.command.netsuite \
  --topic psa.command.float
acls --allow-principal "${PRINCIPAL:-User:}psastream-reader" --operation Describe \
  --group psastream-read-topic

# psastream-operator: psastream status, prove, waiting, exceptions retry, commands stop and approve, dlq release, connectors sweep and pause; what readers may
acls --allow-principal "${PRINCIPAL:-User:}psastream-operator" --operation Read \
  --topic psa.customer \
  --topic psa.legal_entity \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.project \
  --topic psa.task \
  --topic psa.role \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psa.employment \
  --topic psa.job \
  --topic psa.compensation \
  --topic psa.payroll_cost \
  --topic psa.purchase_order \
  --topic psa.supplier_invoice \
  --topic psa.goods_receipt \
  --topic psa.command_intent \
  --topic psa.command_result \
  --topic psa.exception \
  --topic psa.dlq \
  --topic psa.metric.project_margin \
  --topic psa.metric.utilization \
  --topic psa.metric.pipeline_health \
  --topic psa.status.customer \
  --topic psa.status.project \
  --topic psa.status.assignment \
  --topic psa.status.billing \
  --topic psa.command.netsuite \
  --topic psa.command.float \
  --topic psa.internal.customer_demand \
  --topic psa.internal.customer_status \
  --topic psa.internal.project_link \
  --topic psa.internal.project_context \
  --topic psa.internal.partial \
  --topic psa.internal.calendar \
  --topic psastream-normalize-state \
  --topic psastream-customer-state \
  --topic psastream-engagement-state \
  --topic psastream-project-state \
  --topic psastream-rollup-state
acls --allow-principal "${PRINCIPAL:-User:}psastream-operator" --operation Read --operation Write \
  --topic psa.command_retry \
  --topic psa.command_decision \
  --topic psa.dlq_decision \
  --topic src.salesforce.account \
  --topic src.salesforce.opportunity \
  --topic src.salesforce.opportunity_line_item \
  --topic src.netsuite.subsidiary \
  --topic src.netsuite.customer \
  --topic src.netsuite.project \
  --topic src.netsuite.time_bill \
  --topic src.netsuite.invoice \
  --topic src.float.person \
  --topic src.float.role \
  --topic src.float.project \
  --topic src.float.allocation \
  --topic src.float.timeoff \
  --topic src.float.public_holiday \
  --topic src.float.team_holiday \
  --topic src.inhouse.projects \
  --topic src.inhouse.tasks \
  --topic src.inhouse.time_entries \
  --topic src.inhouse.expenses \
  --topic psastream-source-orders
acls --allow-principal "${PRINCIPAL:-User:}psastream-operator" --operation Describe \
  --group psastream-read-topic \
  --group psastream \
  --group psastream-measures \
  --group psastream-dispatch
acls --allow-principal "${PRINCIPAL:-User:}psastream-operator" --operation Write \
  --transactional-id psastream-dlq

# psastream-maintainer: psastream reread, rebuild
acls --allow-principal "${PRINCIPAL:-User:}psastream-maintainer" --operation Read \
  --group psastream
acls --allow-principal "${PRINCIPAL:-User:}psastream-maintainer" --operation Describe \
  --group psastream-dispatch \
  --group psastream-read-topic
acls --allow-principal "${PRINCIPAL:-User:}psastream-maintainer" --operation Read \
  --topic src.salesforce.account \
  --topic src.salesforce.opportunity \
  --topic src.salesforce.opportunity_line_item \
  --topic src.netsuite.subsidiary \
  --topic src.netsuite.customer \
  --topic src.netsuite.project \
  --topic src.netsuite.time_bill \
  --topic src.netsuite.invoice \
  --topic src.float.person \
  --topic src.float.role \
  --topic src.float.project \
  --topic src.float.allocation \
  --topic src.float.timeoff \
  --topic src.float.public_holiday \
  --topic src.float.team_holiday \
  --topic src.inhouse.projects \
  --topic src.inhouse.tasks \
  --topic src.inhouse.time_entries \
  --topic src.inhouse.expenses \
  --topic psa.customer \
  --topic psa.internal.customer_demand \
  --topic psa.opportunity \
  --topic psa.opportunity_line \
  --topic psa.legal_entity \
  --topic psa.internal.customer_status \
  --topic psa.internal.project_link \
  --topic psa.command_result \
  --topic psa.project \
  --topic psa.internal.project_context \
  --topic psa.resource \
  --topic psa.rate_card \
  --topic psa.absence \
  --topic psa.assignment \
  --topic psa.time_entry \
  --topic psa.expense \
  --topic psa.time_bill \
  --topic psa.invoice \
  --topic psa.internal.partial \
  --topic psa.internal.calendar
acls --allow-principal "${PRINCIPAL:-User:}psastream-maintainer" --operation Create --operation Delete \
  --topic psastream-normalize-state \
  --topic psastream-customer-state \
  --topic psastream-engagement-state \
  --topic psastream-project-state \
  --topic psastream-rollup-state
acls --allow-principal "${PRINCIPAL:-User:}psastream-maintainer" --operation Read --operation Write \
  --topic psa.exception
