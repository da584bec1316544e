//! Logs as the proxy writes them, and what can become of them.

mod edit;
mod flip;
mod recover;
mod verify;
