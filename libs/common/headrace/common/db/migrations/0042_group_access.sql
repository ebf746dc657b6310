-- Which projects may use a resource group (null: all), and the group of a project's services that name none.

alter table resource_groups add column project_ids uuid[];
alter table projects add column resource_group slug references resource_groups;
create index projects_resource_group on projects (resource_group) where resource_group is not null;
