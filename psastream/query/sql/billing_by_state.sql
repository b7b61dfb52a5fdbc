-- Approved time of each project by how far its billing is. The states add up to the approved time.
-- key: project_ref, currency, state
-- first: project, state, hours, amount, currency, entries
-- columns:
--   project_ref | id | Source id of the PSA project; several may stand for one project.
--   project_id | id | Canonical project id; its source id where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   is_internal | true, false | Whether the project names neither a deal nor a customer.
--   state | word | non_billable, covered, blocked, ready, transferred, written_off, invoiced, credited or unmatched.
--   currency | ISO 4217 | Currency of the amount.
--   hours | h | Time in the state, half-even at 2 digits. Add up `seconds` instead.
--   seconds | s | The same time, exactly; adds up. Negative where credited or unmatched.
--   amount | currency | Money of the state; adds up within a currency, `invoiced` and `credited` to what the customer owes.
--   entries | time entries | Entries with time in the state. One entry may be in several: do not add up over states.
--   as_of | instant | The latest change that went in.
SELECT
  b.project_ref,
  coalesce(b.project_id, b.project_ref) AS project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  b.state,
  b.currency,
  b.hours,
  b.seconds,
  b.amount,
  b.entries,
  b.as_of
FROM psa.status.billing AS b
LEFT JOIN projects AS p ON p.project_id = coalesce(b.project_id, b.project_ref)
ORDER BY 2, b.project_ref, b.currency, b.state
