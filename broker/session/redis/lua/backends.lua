-- Server and '<revision>:<backend id>' of each backend session; nil if the
-- session is gone.
if not live() then return false end
return held()
