//! The admin API, over real HTTP, and the commands that use it.

mod audit;
mod commands;
mod complaints;
mod described;
mod listener;
mod races;
mod refusals;
mod sessions;
mod tenants;
mod usage;
