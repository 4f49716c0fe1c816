//! State in databases: what is kept, what is changed, and what cannot be used.

mod backup;
mod broken;
mod contract;
mod full_disk;
mod kills;
mod pooler;
mod ready;
mod restarts;
mod rights;
mod starting;
mod time;
mod tls;
mod transfer;
