-- Settings of a service: limits, balance, models, weights.
select 1;
