-- Addresses at which a machine's replicas may be: its first one, or what an operator says. Null: the next one that it reports.
alter table agents
    add column addresses text[],
    add column address_problem text,
    add column address_told_at timestamptz;

-- Machines that are there keep the address that they have. Those at loopback and link-local addresses, of which most never
-- counted, keep the next one that they report and that may be.
do $$
declare
    machine record;
    said text;
    address inet;
begin
    for machine in select id, a.machine ->> 'address' as said from agents a where a.machine ->> 'address' <> '' loop
        said := rtrim(lower(machine.said), '.');
        begin
            address := said::inet;
            said := host(address);
            if address << '127.0.0.0/8' or address << '169.254.0.0/16' or address << 'fe80::/10' or host(address) = '::1' then
                said := null;
            end if;
        exception when others then
            null; -- a name
        end;
        if said is not null and said <> 'localhost' then
            update agents set addresses = array[said] where id = machine.id;
        end if;
    end loop;
end
$$;

create index agents_addresses on agents using gin (addresses);
