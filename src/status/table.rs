//! Tables for a terminal.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// Adds a table and a blank line, or nothing if it has no rows.
pub(super) fn push_table(text: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    if table.row_count() > 0 {
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
}
