//! Procedures at the edge.
