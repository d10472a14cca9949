-- Server and backend session of each that is open; nil if the session is gone.
if not live() then return false end
return held()
