//! The seeded simulator behind the runtime seam.
