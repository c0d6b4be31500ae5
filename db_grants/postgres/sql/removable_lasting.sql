AND NOT EXISTS ({look})
