//! What the engine asks every stream and nobody here reads: when it was made, by which proxy, from which socket.

/// Answers these questions for a stream type with nothing.
macro_rules! untold {
    ($stream:ty $(, $inner:ident: $bound:path)?) => {
        impl$(<$inner: $bound>)? pingora::protocols::Peek for $stream {}

        impl$(<$inner: $bound>)? pingora::protocols::GetTimingDigest for $stream {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                Vec::new()
            }
        }

        impl$(<$inner: $bound>)? pingora::protocols::GetProxyDigest for $stream {
            fn get_proxy_digest(&self) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                None
            }
        }

        impl$(<$inner: $bound>)? pingora::protocols::GetSocketDigest for $stream {
            fn get_socket_digest(&self) -> Option<std::sync::Arc<pingora::protocols::SocketDigest>> {
                None
            }
        }
    };
}

pub(super) use untold;
