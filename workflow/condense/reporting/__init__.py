"""From numbers to what people look at: tables, figures, cards and the report."""
