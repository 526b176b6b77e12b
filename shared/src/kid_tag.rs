//! kid_tag
