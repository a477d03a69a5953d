//! Parts of 2.x with parts of 3.0.
