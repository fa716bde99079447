-- cancel_reason: is this run of a job still wanted? Reads only.
-- KEYS[1] root
-- ARGV    claim_id, run
-- Returns '' it is | 'lost' its worker's lease had ended: the claim runs elsewhere, or has failed
--         | why the claim was closed
-- Clock   none
local claim = claim_fields(ARGV[1], 'state', 'run', 'reason')
if claim[1] == 'running' and claim[2] == ARGV[2] then
  return ''
end
return claim[1] == 'closed' and claim[3] or 'lost'
