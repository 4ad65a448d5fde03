"""Who may do what: stream keys, accounts and the one Authorizer."""
