"""Random problems of the operators: one generator and one measure of errors for every backend's tests."""
