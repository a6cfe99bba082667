//! Procedures on one worker.
