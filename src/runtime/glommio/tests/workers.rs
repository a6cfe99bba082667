//! Workers on threads of their own.
