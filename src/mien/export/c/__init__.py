"""From an int8 model to C99 for microcontrollers: plan of the memory, reference in NumPy, text of the code."""
