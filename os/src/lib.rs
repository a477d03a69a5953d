//! The real backend of nodesockd.
