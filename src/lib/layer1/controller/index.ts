// What the controller offers: the appliance, and its parts for whoever runs it elsewhere (tests, the simulator).
export { runController } from './run.js';
export { createController, type Controller, type ControllerPorts } from './controller.js';
