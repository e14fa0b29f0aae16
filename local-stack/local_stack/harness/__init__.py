"""One function host without Nginx and stores: for tests of any project, and for single invocations."""
