-- cancel_reason: why should this run of a job stop? Reads only.
-- KEYS[1] root
-- ARGV    claim_id, run
-- Returns '' it should go on | 'lost' the lease of its worker had ended: the claim runs elsewhere, or has
--         failed | why the claim was closed
-- Clock   none
local id, run = unpack(ARGV)
local state, holder, reason = claim_fields(id, 'state', 'run', 'reason')
if state == 'running' and holder == run then
  return ''
end
return state == 'closed' and reason or 'lost'
