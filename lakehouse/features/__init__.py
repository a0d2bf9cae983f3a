"""Feature tables and their stores: windows over sales lines, offline through Feast, online for serving, and labels."""
