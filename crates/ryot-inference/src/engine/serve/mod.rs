//! Many requests in one batch: a scheduler thread, its queue and the tickets of those who wait.

mod channel;
mod config;
mod scheduler;
mod server;
mod share;
mod stats;
mod stream;
mod ticket;
mod waiting;

pub use config::ServeConfig;
pub use server::Server;
pub use stats::ServeStats;
pub use stream::PieceStream;
pub use ticket::Ticket;
