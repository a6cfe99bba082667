//! The native protocol: bytes on the wire.
