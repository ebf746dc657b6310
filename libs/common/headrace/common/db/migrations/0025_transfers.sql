-- Progress of the folder that a kernel's start waits for, as its machine reports it: phase, bytes, rate, time left.
alter table kernels add column transfer jsonb;
