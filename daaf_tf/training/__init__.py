"""Strategy, optimizer, schedules, callbacks and the fit."""
