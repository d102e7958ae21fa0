-- What failing endpoints may have let run out of time: found without a look at all that waits.
CREATE INDEX deliveries_overdue ON deliveries (lane, give_up_at) WHERE state = 'due' AND attempts > 0;
