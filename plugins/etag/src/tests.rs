//! The plugin as its host drives it, without a socket.

mod config;
mod drive;
mod not_modified;
mod tagging;
mod upstream;
