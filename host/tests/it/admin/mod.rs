//! The admin API, over real HTTP, and the commands that use it.

mod audit;
mod commands;
mod complaints;
mod described;
mod endless;
mod health;
mod hosts;
mod listener;
mod races;
mod refusals;
mod sessions;
mod strangers;
mod tenants;
mod terminal;
mod usage;
