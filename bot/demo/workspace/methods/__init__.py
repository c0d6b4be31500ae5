"""The Web API's methods, by family. Each is a function of the workspace and the arguments."""
