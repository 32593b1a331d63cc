-- Tries, on a scratch key that it removes, every command that the statistics need: a missing permission must show
-- before the cursor moves, not halfway through a batch.
-- KEYS[1]  the cursor
-- Returns  the cursor, or the first error.
local key = KEYS[1] .. '/probe'
local trials = {
  {'DEL', key},
  {'HINCRBY', key, 'field', '1'},
  {'HGET', key, 'field'},
  {'HSET', key, 'field', '1'},
  {'DEL', key},
  {'ZINCRBY', key, '1', 'member'},
  {'ZADD', key, 'GT', '1', 'member'},
  {'ZRANGE', key, 0, -1},
  {'ZREMRANGEBYSCORE', key, '-inf', '(0'},
  {'DEL', key},
  {'SADD', key, 'member'},
  {'DEL', key},
  {'SET', key, '1', 'EX', '60'},
  {'DEL', key},
}
for _, trial in ipairs(trials) do
  local reply = redis.pcall(unpack(trial))
  if type(reply) == 'table' and reply.err then
    redis.pcall('DEL', key)
    return reply
  end
end
return redis.pcall('GET', KEYS[1])
