"""The closed study: every setting with its bounds, the tables it asks for, the published values."""
